#include "cli/execution.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "shm/posix.h"

namespace ringlog::cli {

namespace {

// Fits a ring's record, and a pipe gives no more than twice as much at once.
constexpr size_t kChunkSize = 32 * 1024;
// Processes that the program left behind may hold its output open for ever; after this long without
// output nobody waits for them.
constexpr int kSilenceMs = 1000;
// And those that are never silent no longer than this.
constexpr int kPatienceMs = 5000;

int64_t now_ms() { return shm::monotonic_ns() / 1'000'000; }

// How many bytes can be read at once; 0 when nobody knows.
size_t waiting_in(int fd) {
  int count = 0;
  return fd >= 0 && ::ioctl(fd, FIONREAD, &count) == 0 && count > 0 ? static_cast<size_t>(count)
                                                                    : 0;
}

}  // namespace

// One piece of output; returns its size.  A terminal that has no more says so with EIO.
size_t Execution::copy(size_t source) {
  std::array<char, kChunkSize> chunk;
  const ssize_t size = ::read(child_.source(source), chunk.data(), chunk.size());
  if (size < 0 && (errno == EINTR || errno == EAGAIN)) return 0;
  is_open_.at(source) = size > 0;
  if (size <= 0) return 0;
  const std::string_view bytes(chunk.data(), static_cast<size_t>(size));
  // Kept first: what somebody has seen is in the run, whenever this process dies.
  run_.console(bytes, source == kErrors);
  outlet_of(source).put(bytes);
  owed_.at(source) -= std::min(owed_.at(source), bytes.size());
  heard_ms_ = now_ms();
  return bytes.size();
}

// Nobody reads what we print any more.  The program finds out as it would without us, at its next
// write; what it had written by now is kept.
void Execution::break_off(size_t source) {
  for (size_t left = waiting_in(child_.source(source)); left > 0;) {
    const size_t size = copy(source);
    if (size == 0) break;
    left -= std::min(left, size);
  }
  is_open_.at(source) = false;
  child_.close(source);
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

void Execution::note_end(int status) {
  wait_status_ = status;
  end_ms_ = heard_ms_ = now_ms();
  for (size_t i = 0; i < kSourceCount; ++i) owed_.at(i) = waiting_in(child_.source(i));
}

void Execution::take_signal(const signalfd_siginfo& info) {
  const int signal = static_cast<int>(info.ssi_signo);
  const bool is_of_kernel = info.ssi_code == SI_KERNEL;
  if (wait_status_) {
    is_stopped_ = is_stopped_ || signal == SIGINT || signal == SIGTERM || signal == SIGHUP ||
                  signal == SIGQUIT;
    return;
  }
  if (signal == SIGCHLD) {
    if (const auto status = child_.try_wait()) note_end(*status);
    return;
  }
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

// How long to wait for more, in milliseconds as poll() has them; 0: no more is waited for.
int Execution::patience() const {
  if (!wait_status_ || output_.is_full() || errors_.is_full()) return -1;
  const bool is_open = std::find(is_open_.begin(), is_open_.end(), true) != is_open_.end();
  if (!is_open) return 0;
  // What the program itself printed is taken however long that takes.
  const bool is_owed = std::any_of(owed_.begin(), owed_.end(), [](size_t n) { return n > 0; });
  const int64_t silent_ms = heard_ms_ + kSilenceMs;
  const int64_t until_ms = is_owed ? silent_ms : std::min(silent_ms, end_ms_ + kPatienceMs);
  return static_cast<int>(std::max<int64_t>(until_ms - now_ms(), 0));
}

// Waits for whatever comes next and deals with it.
void Execution::step(int timeout_ms) {
  enum : size_t { kKeys = kSourceCount, kSignals, kOut, kErr, kCount };
  std::array<pollfd, kCount> entries{};
  for (size_t i = 0; i < kSourceCount; ++i) {
    const bool wants_pieces = is_open_.at(i) && !outlet_of(i).is_full();
    const bool wants_room = i == kTerminal && is_open_.at(i) && !keys_.empty();
    const int events = (wants_pieces ? POLLIN : 0) | (wants_room ? POLLOUT : 0);
    // poll() passes over negative descriptors.
    entries.at(i) = {events == 0 ? -1 : child_.source(i), static_cast<short>(events), 0};
  }
  const bool wants_keys = has_input_ && keys_.empty() && terminal_ && terminal_->has_keys();
  entries[kKeys] = {wants_keys ? STDIN_FILENO : -1, POLLIN, 0};
  entries[kSignals] = {signals_, POLLIN, 0};
  entries[kOut] = output_.entry();
  entries[kErr] = errors_.entry();
  if (::poll(entries.data(), entries.size(), timeout_ms) <= 0) return;
  output_.take_event(entries[kOut].revents);
  errors_.take_event(entries[kErr].revents);
  if ((entries[kTerminal].revents & POLLOUT) != 0) pass_keys();
  for (size_t i = 0; i < kSourceCount; ++i) {
    if ((entries.at(i).revents & ~POLLOUT) != 0) copy(i);
    if (is_open_.at(i) && outlet_of(i).is_broken()) break_off(i);
  }
  if (entries[kKeys].revents != 0) has_input_ = take_keys();
  if (entries[kSignals].revents != 0) take_signals();
  if (output_.is_full() || errors_.is_full()) heard_ms_ = now_ms();
}

int Execution::follow() {
  for (size_t i = 0; i < kSourceCount; ++i) is_open_.at(i) = child_.source(i) >= 0;
  for (int timeout_ms = -1; timeout_ms != 0 && !is_stopped_; timeout_ms = patience()) {
    step(timeout_ms);
  }
  return wait_status_.value_or(0);
}

}  // namespace ringlog::cli
