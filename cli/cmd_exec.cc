// exec: runs any program with a run around it.
//
// The program's output goes through untouched and is kept with the run; its exit code is ours. What
// goes wrong with logging is said and costs the program nothing.

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "cli/child.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "client/run_core.h"
#include "client/settings_layers.h"

namespace ringlog::cli {

namespace {

constexpr int kExitCannotRun = 126;
constexpr int kExitNotFound = 127;
// Fits a ring's record, and a pipe gives no more than twice as much at once.
constexpr size_t kChunkSize = 32 * 1024;
// Processes that the program left behind may hold its pipes open for ever; after this long without
// output nobody waits for them.
constexpr int kSilenceMs = 1000;

constexpr std::array kForwarded = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};

int exit_code_of(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

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

class Execution {
 public:
  Execution(Run& run, Child child, int signals)
      : run_(run), child_(std::move(child)), signals_(signals) {}

  // Until the program has ended and its output is through; its status as waitpid() says it.
  int follow();

 private:
  bool copy(int from, int to);
  void take_signals();

  Run& run_;
  Child child_;
  const int signals_;
  std::optional<int> wait_status_;
};

// One piece of output; false when there will be no more.
bool Execution::copy(int from, int to) {
  std::array<char, kChunkSize> chunk;
  const ssize_t size = ::read(from, chunk.data(), chunk.size());
  if (size < 0) return errno == EINTR || errno == EAGAIN;
  if (size == 0) return false;
  const std::string_view bytes(chunk.data(), static_cast<size_t>(size));
  pass_on(to, bytes);
  run_.console(bytes, to == STDERR_FILENO);
  return true;
}

void Execution::take_signals() {
  signalfd_siginfo info{};
  while (::read(signals_, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) {
      if (!wait_status_) wait_status_ = child_.try_wait();
    } else if (info.ssi_code != SI_KERNEL && !wait_status_) {
      // What the terminal sends (Ctrl-C) goes to its whole group, so the program has it already.
      ::kill(child_.pid(), static_cast<int>(info.ssi_signo));
    }
  }
}

int Execution::follow() {
  std::array<pollfd, 3> entries = {
      {{child_.output(), POLLIN, 0}, {child_.errors(), POLLIN, 0}, {signals_, POLLIN, 0}}};
  constexpr std::array kTargets = {STDOUT_FILENO, STDERR_FILENO};
  const auto has_pipe = [&] { return entries[0].fd >= 0 || entries[1].fd >= 0; };
  while (!wait_status_ || has_pipe()) {
    const int ready = ::poll(entries.data(), entries.size(), wait_status_ ? kSilenceMs : -1);
    if (ready < 0 && errno != EINTR) break;
    if (ready == 0) break;
    for (size_t i = 0; i < kTargets.size(); ++i) {
      // poll() passes over negative descriptors.
      if (entries[i].revents != 0 && !copy(entries[i].fd, kTargets[i])) entries[i].fd = -1;
    }
    if (entries[2].revents != 0) take_signals();
  }
  return wait_status_.value_or(0);
}

// The run, or a disabled one when it cannot be had.
Result<Run> open_exec_run(const client::ResolvedSettings& settings) {
  auto core = detail::RunCore::open(settings, client::kExecWorker);
  if (core) return detail::RunCore::make_run(*std::move(core));
  if (settings.strict) return core.take_error();
  say("the command runs without being recorded: " + core.error().message);
  return Run();
}

ChildSpec child_spec(const ExecOptions& options, const client::ResolvedSettings& settings,
                     const Run& run, const sigset_t& mask) {
  ChildSpec spec{options.command, {}, mask};
  if (!run.ok()) return spec;
  spec.variables = {{"RINGLOG_RUN_ID", run.id()},
                    {"RINGLOG_PROJECT", settings.project},
                    {"RINGLOG_DIR", settings.dir}};
  return spec;
}

int start_failure(const Error& error) {
  say(error.message);
  return error.code == Code::kNotFound ? kExitNotFound : kExitCannotRun;
}

}  // namespace

int run_exec(Context& context, const ExecOptions& options) {
  auto settings = client::resolve_settings(client::SettingFields{{"dir", context.root}});
  if (!settings) return fail(settings.error());
  // We attach beside the program, never as its rank.
  if (settings->rank < 0) settings->rank = 0;
  auto run = open_exec_run(*settings);
  if (!run) return fail(run.error());
  if (run->ok() && settings->console == client::Console::kAuto) {
    say("run " + printable(run->id()) + " in " + printable(run->dir()));
  }
  sigset_t wanted;
  sigset_t before;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGCHLD);
  for (const int signal : kForwarded) sigaddset(&wanted, signal);
  ::sigprocmask(SIG_BLOCK, &wanted, &before);
  const shm::Fd signals(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  auto child = Child::start(child_spec(options, *settings, *run, before));
  int code = 0;
  if (child) {
    code = exit_code_of(Execution(*run, *std::move(child), signals.get()).follow());
  } else {
    code = start_failure(child.error());
  }
  run->finish(code);
  return code;
}

}  // namespace ringlog::cli
