#include "cli/execution.h"

#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

namespace ringlog::cli {

namespace {

// Fits a ring's record, and a pipe gives no more than twice as much at once.
constexpr size_t kChunkSize = 32 * 1024;
// Processes that the program left behind may hold its output open for ever; after this long without
// output nobody waits for them.
constexpr int kSilenceMs = 1000;

// Writes all of it; what nobody reads any more is dropped.
void pass_on(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written > 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd entry{fd, POLLOUT, 0};
      ::poll(&entry, 1, -1);
    } else if (errno != EINTR) {
      return;
    }
  }
}

}  // namespace

// One piece of output; false when there will be no more (a terminal says so with EIO).
bool Execution::copy(int from, int to) {
  std::array<char, kChunkSize> chunk;
  const ssize_t size = ::read(from, chunk.data(), chunk.size());
  if (size < 0) return errno == EINTR || errno == EAGAIN;
  if (size == 0) return false;
  const std::string_view bytes(chunk.data(), static_cast<size_t>(size));
  // Kept first: what somebody has seen is in the run, whenever this process dies.
  run_.console(bytes, to == STDERR_FILENO);
  pass_on(to, bytes);
  return true;
}

// Whether this key stops the program here: its terminal would send SIGTSTP, and the kernel does not
// deliver that to a session's leader whose parent is outside.
bool Execution::suspends(char key) const {
  termios modes{};
  return ::tcgetattr(child_.terminal(), &modes) == 0 && (modes.c_lflag & ISIG) != 0 &&
         static_cast<cc_t>(key) == modes.c_cc[VSUSP] &&
         ::tcgetpgrp(child_.terminal()) == child_.pid();
}

void Execution::suspend() {
  ::kill(-child_.pid(), SIGSTOP);
  if (terminal_ != nullptr) terminal_->give_back();
  ::raise(SIGSTOP);
  // Whoever lets us go on sends SIGCONT, which take_signals() finds.
}

void Execution::go_on() {
  if (terminal_ != nullptr) {
    terminal_->take();
    child_.resize(terminal_->fd());
  }
  ::kill(child_.terminal() >= 0 ? -child_.pid() : child_.pid(), SIGCONT);
}

// Reads what was typed; false when nothing will be typed any more.
bool Execution::take_keys() {
  std::array<char, 4096> keys;
  const ssize_t size = ::read(STDIN_FILENO, keys.data(), keys.size());
  if (size < 0) return errno == EINTR || errno == EAGAIN;
  if (size == 0) return false;
  for (const char key : std::string_view(keys.data(), static_cast<size_t>(size))) {
    if (suspends(key)) {
      suspend();
    } else {
      keys_ += key;
    }
  }
  return true;
}

// As much as the program's terminal takes; never blocks.
void Execution::pass_keys() {
  const ssize_t written = ::write(child_.terminal(), keys_.data(), keys_.size());
  if (written > 0) keys_.erase(0, static_cast<size_t>(written));
  if (written < 0 && errno != EAGAIN && errno != EINTR) keys_.clear();
}

void Execution::take_signal(const signalfd_siginfo& info) {
  const int signal = static_cast<int>(info.ssi_signo);
  const bool is_of_kernel = info.ssi_code == SI_KERNEL;
  if (signal == SIGCHLD) {
    if (!wait_status_) wait_status_ = child_.try_wait();
    return;
  }
  if (wait_status_) return;
  if (signal == SIGCONT) return go_on();
  if (child_.terminal() >= 0) {
    if (signal == SIGTSTP) return suspend();
    if (signal == SIGWINCH && terminal_ != nullptr) return child_.resize(terminal_->fd());
    // What our terminal sends does not reach another session: all that hear it there shall.
    ::kill(is_of_kernel ? -child_.pid() : child_.pid(), signal);
    return;
  }
  // What the terminal sends (Ctrl-C) goes to its whole group, so the program has it already.
  if (!is_of_kernel) ::kill(child_.pid(), signal);
  if (signal == SIGTSTP) stop_unless_orphaned();
}

void Execution::take_signals() {
  signalfd_siginfo info{};
  while (::read(signals_, &info, sizeof info) == sizeof info) take_signal(info);
}

int Execution::follow() {
  enum : size_t { kOutput, kErrors, kTerminal, kKeys, kSignals, kCount };
  std::array<pollfd, kCount> entries{};
  entries[kOutput] = {child_.output(), POLLIN, 0};
  entries[kErrors] = {child_.errors(), POLLIN, 0};
  entries[kTerminal] = {child_.terminal(), POLLIN, 0};
  entries[kSignals] = {signals_, POLLIN, 0};
  const auto has_output = [&] {
    return entries[kOutput].fd >= 0 || entries[kErrors].fd >= 0 || entries[kTerminal].fd >= 0;
  };
  constexpr std::array kTargets = {STDOUT_FILENO, STDERR_FILENO, STDOUT_FILENO};
  while (!wait_status_ || has_output()) {
    // poll() passes over negative descriptors.
    const bool wants_keys = has_input_ && keys_.empty() && terminal_ && terminal_->has_keys();
    entries[kKeys] = {wants_keys ? STDIN_FILENO : -1, POLLIN, 0};
    entries[kTerminal].events = static_cast<short>(keys_.empty() ? POLLIN : POLLIN | POLLOUT);
    const int ready = ::poll(entries.data(), entries.size(), wait_status_ ? kSilenceMs : -1);
    if (ready < 0 && errno != EINTR) break;
    if (ready == 0) break;
    if (ready < 0) continue;
    if ((entries[kTerminal].revents & POLLOUT) != 0) pass_keys();
    for (size_t i = 0; i < kTargets.size(); ++i) {
      if ((entries[i].revents & ~POLLOUT) == 0) continue;
      if (!copy(entries[i].fd, kTargets[i])) entries[i].fd = -1;
    }
    if (entries[kKeys].revents != 0) has_input_ = take_keys();
    if (entries[kSignals].revents != 0) take_signals();
  }
  return wait_status_.value_or(0);
}

}  // namespace ringlog::cli
