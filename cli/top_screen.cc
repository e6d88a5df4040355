#include "cli/top_screen.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace ringlog::cli {

namespace {

// Alternate screen, no cursor; and back.
constexpr std::string_view kTakeScreen = "\x1b[?1049h\x1b[?25l\x1b[2J";
constexpr std::string_view kGiveScreen = "\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kEndOfLine = "\x1b[K";
constexpr std::string_view kEndOfScreen = "\x1b[J";

constexpr std::array kScreenSignals = {SIGINT,   SIGTERM, SIGHUP, SIGQUIT,
                                       SIGWINCH, SIGTSTP, SIGCONT};

constexpr char kCtrlC = 0x03;
constexpr char kCtrlL = 0x0c;
constexpr char kCtrlZ = 0x1a;

sigset_t screen_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : kScreenSignals) sigaddset(&signals, signal);
  return signals;
}

bool is_input_terminal() { return ::isatty(STDIN_FILENO) == 1; }

}  // namespace

TopScreen::TopScreen(Output& out)
    : out_(out),
      terminal_(is_input_terminal() ? STDIN_FILENO : STDOUT_FILENO, is_input_terminal()),
      signals_before_{},
      has_keys_(is_input_terminal()) {
  const sigset_t signals = screen_signals();
  ::sigprocmask(SIG_BLOCK, &signals, &signals_before_);
  signals_ = shm::Fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

TopScreen::~TopScreen() {
  leave();
  ::sigprocmask(SIG_SETMASK, &signals_before_, nullptr);
}

// False: the terminal is somebody else's now.
bool TopScreen::take_back() {
  const pid_t owner = ::tcgetpgrp(STDOUT_FILENO);
  if (owner >= 0 && owner != ::getpgrp()) return false;  // -1: nobody is in control of it
  if (is_taken_) return true;
  terminal_.take();
  out_.write(kTakeScreen);
  is_taken_ = true;
  return true;
}

void TopScreen::leave() {
  if (!is_taken_) return;
  is_taken_ = false;
  out_.write(kGiveScreen);
  out_.flush();
  terminal_.give_back();
}

void TopScreen::stop() {
  leave();
  stop_unless_orphaned();
}

void TopScreen::draw(const std::vector<std::string>& lines) {
  if (!take_back()) return;
  std::string text(kHome);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) text += "\r\n";
    text.append(lines[i]).append(kEndOfLine);
  }
  out_.write(text.append(kEndOfScreen));
  out_.flush();
}

TopScreen::Event TopScreen::take_key() {
  char key = 0;
  const ssize_t size = ::read(STDIN_FILENO, &key, 1);
  if (size == 0 || (size < 0 && errno != EINTR && errno != EAGAIN)) has_keys_ = false;
  if (size <= 0) return {.kind = Event::Kind::kKey};
  if (key == kCtrlC) return {.kind = Event::Kind::kEnd};
  if (key == kCtrlL) return {.kind = Event::Kind::kDraw};
  if (key == kCtrlZ) {
    stop();
    return {.kind = Event::Kind::kDraw};
  }
  return {.kind = Event::Kind::kKey, .key = key};
}

TopScreen::Event TopScreen::take_signal() {
  signalfd_siginfo info{};
  if (::read(signals_.get(), &info, sizeof info) != sizeof info) {
    return {.kind = Event::Kind::kKey};
  }
  const int signal = static_cast<int>(info.ssi_signo);
  if (signal == SIGTSTP) stop();
  if (signal == SIGTSTP || signal == SIGCONT || signal == SIGWINCH) {
    return {.kind = Event::Kind::kDraw};
  }
  return {.kind = Event::Kind::kEnd, .signal = signal == SIGINT ? 0 : signal};
}

TopScreen::Event TopScreen::wait(int64_t deadline_ns) {
  for (;;) {
    constexpr int64_t kMillisecond = 1'000'000;
    const int64_t left_ns = std::max<int64_t>(deadline_ns - shm::monotonic_ns(), 0);
    const int64_t left_ms = std::min<int64_t>((left_ns + kMillisecond - 1) / kMillisecond, 60'000);
    // A key that is read in the background stops us.
    const bool wants_keys = has_keys_ && terminal_.has_keys();
    std::array<pollfd, 3> entries = {{{signals_.get(), POLLIN, 0},
                                      {wants_keys ? STDIN_FILENO : -1, POLLIN, 0},
                                      {STDOUT_FILENO, 0, 0}}};
    // Signals and keys first, also where looks take as long as their interval.
    if (::poll(entries.data(), entries.size(), static_cast<int>(left_ms)) <= 0) {
      if (left_ns == 0) return {};
      continue;
    }
    if (entries[0].revents != 0) return take_signal();
    if (entries[2].revents != 0 || !out_.is_open()) return {.kind = Event::Kind::kEnd};
    if (entries[1].revents != 0) return take_key();
  }
}

}  // namespace ringlog::cli
