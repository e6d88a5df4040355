#include "cli/child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): posix_openpt
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "shm/spawn.h"

extern char** environ;

namespace ringlog::cli {

namespace {

struct Pipe {
  shm::Fd read;
  shm::Fd write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return shm::errno_error("make a pipe");
  return Pipe{shm::Fd(ends[0]), shm::Fd(ends[1])};
}

std::vector<std::string> environment(const std::map<std::string, std::string>& variables) {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text(*entry);
    if (!variables.contains(text.substr(0, text.find('=')))) entries.push_back(text);
  }
  for (const auto& [name, value] : variables) {
    std::string entry = name;
    entry += '=';
    entry += value;
    entries.push_back(std::move(entry));
  }
  return entries;
}

// A terminal: the program gets the far end by its name, so that it becomes the one of its session.
struct Terminal {
  shm::Fd near;
  shm::Fd far;  // held until the program has its own, or the near end would see an end
  std::string name;
};

Result<Terminal> make_terminal(int model) {
  Terminal out;
  out.near = shm::Fd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  std::array<char, 128> name{};
  if (!out.near || ::grantpt(out.near.get()) != 0 || ::unlockpt(out.near.get()) != 0 ||
      ::ptsname_r(out.near.get(), name.data(), name.size()) != 0) {
    return shm::errno_error("make a terminal");
  }
  out.name = name.data();
  out.far = shm::Fd(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!out.far) return shm::errno_error("open " + out.name);
  termios modes{};
  winsize size{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  if (model >= 0 && ::tcgetattr(model, &modes) == 0) {
    ::tcsetattr(out.far.get(), TCSANOW, &modes);
    ::ioctl(model, TIOCGWINSZ, &size);
  }
  ::ioctl(out.near.get(), TIOCSWINSZ, &size);
  return out;
}

// Of a program that ended in an unknown way: exit code 1.
constexpr int kUnknownStatus = 1 << 8;

// The command ignores SIGPIPE, and that would be inherited.
sigset_t only_sigpipe() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPIPE);
  return signals;
}

}  // namespace

Result<Child> Child::start(const ChildSpec& spec) {
  const bool has_terminal =
      spec.has_terminal_input || spec.has_terminal_output || spec.has_terminal_errors;
  Child child(-1);
  shm::Spawn program;
  program.set_signals(spec.signal_mask, only_sigpipe());
  // A session's leader that opens a terminal makes it the session's.
  if (has_terminal) program.start_session();
  Terminal terminal;
  if (has_terminal) {
    auto made = make_terminal(spec.terminal_model);
    if (!made) return made.take_error();
    terminal = *std::move(made);
    if (spec.has_terminal_input) program.open(STDIN_FILENO, terminal.name, O_RDWR);
  }
  std::array<Pipe, 2> pipes;
  const std::array at = {STDOUT_FILENO, STDERR_FILENO};
  const std::array is_terminal = {spec.has_terminal_output, spec.has_terminal_errors};
  for (size_t i = 0; i < pipes.size(); ++i) {
    if (is_terminal[i]) {
      program.open(at[i], terminal.name, O_RDWR);
      continue;
    }
    auto made = make_pipe();
    if (!made) return made.take_error();
    pipes[i] = *std::move(made);
    program.connect(pipes[i].write.get(), at[i]);
  }
  std::vector<std::string> command = spec.command;
  if (spec.ignores_sigchld) command.insert(command.begin(), {"/proc/self/exe", kIgnoreSigchld});
  const auto pid = program.start(std::move(command), environment(spec.variables));
  if (!pid) return pid.error();
  child.pid_ = *pid;
  child.sources_ = {std::move(pipes[0].read), std::move(pipes[1].read), std::move(terminal.near)};
  return child;
}

std::optional<int> Child::try_wait() {
  int status = 0;
  const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
  if (ended == pid_) return status;
  // Somebody else has reaped it: how it ended is not known, that it ended is.
  if (ended < 0 && errno == ECHILD) return kUnknownStatus;
  return std::nullopt;
}

void Child::resize(int model) {
  winsize size{};
  if (::ioctl(model, TIOCGWINSZ, &size) == 0) ::ioctl(terminal(), TIOCSWINSZ, &size);
}

}  // namespace ringlog::cli
