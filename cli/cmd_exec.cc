// exec: runs any program with a run around it.
//
// The program's output goes through untouched and is kept with the run; its exit code is ours. What
// goes wrong with logging is said and costs the program nothing.

#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "cli/child.h"
#include "cli/commands.h"
#include "cli/execution.h"
#include "cli/format.h"
#include "client/exec_place.h"
#include "client/run_core.h"
#include "client/runtime_dir.h"
#include "client/settings_layers.h"
#include "shm/in_process_dir.h"

namespace ringlog::cli {

namespace {

int exit_code_of(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

bool is_same_file(int a, int b) {
  struct stat first {};
  struct stat second {};
  return ::fstat(a, &first) == 0 && ::fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

// Our terminal, if there is one; input wins, because keys come from there.
int own_terminal() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO}) {
    if (is_terminal(fd)) return fd;
  }
  return -1;
}

// Gives the program a terminal where it would have had one without us.
void choose_terminal(const ExecOptions& options, ChildSpec& spec) {
  const bool has_terminal = options.wants_terminal || is_terminal(STDOUT_FILENO);
  if (options.wants_pipes || !has_terminal) return;
  spec.has_terminal_output = true;
  spec.has_terminal_input = is_terminal(STDIN_FILENO);
  spec.has_terminal_errors =
      is_terminal(STDERR_FILENO) || is_same_file(STDOUT_FILENO, STDERR_FILENO);
  spec.terminal_model = own_terminal();
}

// `root`: with --dir another one than the settings have.
Result<client::ResolvedSettings> exec_settings(const std::string& root) {
  auto settings = client::resolve_settings(client::SettingFields{});
  if (!settings || settings->dir == root) return settings;
  settings = client::resolve_settings(client::SettingFields{{"dir", root}});
  if (settings && settings->origin["dir"] == "argument") settings->origin["dir"] = "--dir";
  return settings;
}

// The run, or a disabled one when it cannot be had.
Result<std::shared_ptr<detail::RunCore>> open_exec_run(const client::ResolvedSettings& settings) {
  auto core = detail::RunCore::open(settings, client::kExecWorker);
  if (core || settings.strict) return core;
  say("the command runs without being recorded: " + core.error().message);
  return std::make_shared<detail::RunCore>(Error{});
}

// Whoever started us may have ignored SIGCHLD, and then no child's end is ever told.  Whether that
// was so.
bool hear_of_children() {
  struct sigaction before {};
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &plain, &before);
  return before.sa_handler == SIG_IGN;
}

ChildSpec child_spec(const ExecOptions& options, const client::ResolvedSettings& settings,
                     const Run& run, const sigset_t& mask) {
  ChildSpec spec;
  spec.command = options.command;
  spec.signal_mask = mask;
  choose_terminal(options, spec);
  if (!run.ok()) return spec;
  spec.variables = {
      {client::kExecVariable, client::exec_variable({settings.dir, settings.project, run.id()})},
      {"RINGLOG_RUN_ID", run.id()},
      {"RINGLOG_PROJECT", settings.project},
      {"RINGLOG_DIR", settings.dir}};
  if (settings.in_process) {
    // The service inside us is the program's, too.
    spec.variables["RINGLOG_RUNTIME_DIR"] = shm::in_process_dir(client::runtime_dir());
    spec.variables["RINGLOG_IN_PROCESS"] = "false";
  }
  return spec;
}

int start_failure(const Error& error) {
  say(error.message);
  return error.code == Code::kNotFound ? kExitNotFound : kExitCannotRun;
}

// Runs the program to its end, of which the run is told; its exit code.
int execute(const ChildSpec& spec, int signals, detail::RunCore& core, Run& run) {
  auto child = Child::start(spec);
  if (!child) return start_failure(child.error());
  std::optional<OwnTerminal> terminal;
  if (spec.terminal_model >= 0) terminal.emplace(spec.terminal_model, spec.has_terminal_input);
  if (terminal) terminal->take();
  Execution execution(run, *std::move(child), signals, terminal ? &*terminal : nullptr);
  const int status = execution.follow();
  if (WIFSIGNALED(status)) core.set_finish_signal(WTERMSIG(status));
  return exit_code_of(status);
}

}  // namespace

int run_exec(Context& context, const ExecOptions& options) {
  const bool ignored_sigchld = hear_of_children();
  auto settings = exec_settings(context.root);
  if (!settings) return fail(settings.error());
  // We attach beside the program, never as its rank.
  if (settings->rank < 0) settings->rank = 0;
  auto core = open_exec_run(*settings);
  if (!core) return fail(core.error());
  Run run = detail::RunCore::make_run(*core);
  if (run.ok() && settings->console == client::Console::kAuto) {
    say("run " + printable(run.id()) + " in " + printable(run.dir()));
  }
  sigset_t wanted;
  sigset_t before;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGCHLD);
  for (const int signal : kForwardedSignals) sigaddset(&wanted, signal);
  ::sigprocmask(SIG_BLOCK, &wanted, &before);
  const shm::Fd signals(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  ChildSpec spec = child_spec(options, *settings, run, before);
  spec.ignores_sigchld = ignored_sigchld;
  const int code = execute(spec, signals.get(), **core, run);
  run.finish(code);
  return code;
}

}  // namespace ringlog::cli
