// ringlog: the command a person types.  This file says which commands and options there are; what
// they do is in cmd_*.cc.

#include <langinfo.h>
#include <locale.h>  // NOLINT(modernize-deprecated-headers): setlocale
#include <ringlog/version.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/child.h"
#include "cli/commands.h"
#include "cli/sync_job.h"
#include "shm/posix.h"

namespace ringlog::cli {
namespace {

const std::map<std::string, ExportFormat> kFormats = {{"jsonl", ExportFormat::kJsonl},
                                                      {"csv", ExportFormat::kCsv},
                                                      {"tfevents", ExportFormat::kTfevents},
                                                      {"wandb", ExportFormat::kWandb},
                                                      {"log", ExportFormat::kLog}};

// Everything that can be said on the command line.
struct CommandLine {
  std::string dir;
  bool is_json = false;
  LsOptions ls;
  ShowOptions show;
  TailOptions tail;
  PlotOptions plot;
  ExportOptions exported;
  std::string format;
  VerifyOptions verify;
  TopOptions top;
  DoctorOptions doctor;
  ExecOptions exec;
  RmOptions rm;
  StopOptions stop;
  StopOptions checkpoint;
  BurstOptions burst;
  SyncOptions sync;
  std::function<int(Context&)> chosen;
};

constexpr const char* kRunHelp = "run id, unique beginning of one, directory, or latest";

CLI::App* add_command(CLI::App& app, CommandLine& line, const std::string& name,
                      const std::string& help, std::function<int(Context&)> run) {
  CLI::App* command = app.add_subcommand(name, help);
  command->callback([&line, run = std::move(run)] { line.chosen = run; });
  return command;
}

CLI::App* add_reader(CLI::App& app, CommandLine& line, const std::string& name,
                     const std::string& help, std::function<int(Context&)> run) {
  CLI::App* command = add_command(app, line, name, help, std::move(run));
  command->add_flag("--json", line.is_json, "print JSON for programs");
  return command;
}

void add_run(CLI::App* command, std::string& run) {
  command->add_option("RUN", run, kRunHelp)->type_name("")->required();
}

void add_listing(CLI::App& app, CommandLine& line) {
  CLI::App* ls = add_reader(app, line, "ls", "list runs, the one written last first",
                            [&line](Context& context) { return run_ls(context, line.ls); });
  ls->add_option("-n,--limit", line.ls.count_max, "at most so many runs")->type_name("N");

  CLI::App* show = add_reader(app, line, "show", "config, summary, ranks, state, sinks of a run",
                              [&line](Context& context) { return run_show(context, line.show); });
  add_run(show, line.show.run);
  show->add_flag("--all", line.show.is_whole, "do not cut long sections");

  CLI::App* verify =
      add_reader(app, line, "verify", "the loss ledger; exit 1 if anything is missing or double",
                 [&line](Context& context) { return run_verify(context, line.verify); });
  add_run(verify, line.verify.run);
}

// An option that may be given several times, one value each: what follows is not its second value.
void add_ranks(CLI::App* command, std::vector<int32_t>& ranks) {
  command->add_option("--rank", ranks, "only this rank; may be repeated")
      ->type_name("R")
      ->take_all()
      ->allow_extra_args(false);
}

void add_tail(CLI::App& app, CommandLine& line) {
  CLI::App* tail = add_reader(app, line, "tail", "the newest rows as they are stored",
                              [&line](Context& context) { return run_tail(context, line.tail); });
  add_run(tail, line.tail.run);
  tail->add_option("-n,--rows", line.tail.row_count, "so many rows, or lines; default: 10")
      ->type_name("N");
  tail->add_flag("-f,--follow", line.tail.is_following, "go on until the run has ended");
  tail->add_flag("--console", line.tail.is_console, "lines that the programs printed, not rows");
  add_ranks(tail, line.tail.ranks);
}

void add_plot(CLI::App& app, CommandLine& line) {
  CLI::App* plot =
      add_reader(app, line, "plot", "metrics over the step or another one, in the terminal",
                 [&line](Context& context) { return run_plot(context, line.plot); });
  add_run(plot, line.plot.run);
  plot->add_option("METRIC", line.plot.metrics, "names as `ringlog show` lists them")
      ->type_name("")
      ->required();
  plot->add_option("--x", line.plot.x,
                   "the x axis: step, or a metric; default: the step_metric of define_metric()")
      ->type_name("METRIC");
  add_ranks(plot, line.plot.ranks);
  plot->add_option("--from", line.plot.step_begin, "first step")->type_name("STEP");
  plot->add_option("--to", line.plot.step_last, "last step")->type_name("STEP");
  plot->add_option("--width", line.plot.width, "20 to 1000; default: the terminal's")
      ->check(CLI::Range(20, 1000))
      ->type_name("COLUMNS");
  plot->add_option("--height", line.plot.height, "of each plot, 8 to 200; default: all fit")
      ->check(CLI::Range(8, 200))
      ->type_name("LINES");
  plot->add_flag("--ascii", line.plot.is_ascii, "without Unicode");
}

void add_top(CLI::App& app, CommandLine& line) {
  CLI::App* top = add_reader(app, line, "top", "live: rings, rates, lag and sinks of open runs",
                             [&line](Context& context) { return run_top(context, line.top); });
  top->add_option("RUN", line.top.run, std::string("only this run: ") + kRunHelp)->type_name("");
  top->add_option("--interval", line.top.interval_s, "between two looks, 0.1 to 3600; default: 1")
      ->check(CLI::Range(0.1, 3600.0))
      ->type_name("SECONDS");
  top->add_option("-n,--count", line.top.count,
                  "print so many pages, one below the other; default: draw in place on a terminal, "
                  "else one page, or JSON without end")
      ->check(CLI::Range(1, 1'000'000'000))
      ->type_name("N");
}

void add_export(CLI::App& app, CommandLine& line) {
  CLI::App* exported =
      add_command(app, line, "export", "all rows for other tools", [&line](Context& context) {
        line.exported.format = kFormats.at(line.format);
        return run_export(context, line.exported);
      });
  add_run(exported, line.exported.run);
  exported
      ->add_option("--format", line.format, "jsonl, csv, tfevents, wandb, or log: what was printed")
      ->check(CLI::IsMember(kFormats))
      ->type_name("FORMAT")
      ->required();
  exported
      ->add_option("-o,--output", line.exported.path,
                   "file instead of standard output; of tfevents and wandb a folder to make")
      ->type_name("PATH");
  exported->add_flag("--split-ranks", line.exported.splits_ranks,
                     "wandb: a run for each rank, in a group, instead of one for all");
  exported->add_flag("--console", line.exported.is_console,
                     "jsonl: lines that the programs printed instead of rows");
}

void add_actions(CLI::App& app, CommandLine& line) {
  CLI::App* exec = add_command(app, line, "exec", "run a command with a run around it",
                               [&line](Context& context) { return run_exec(context, line.exec); });
  exec->add_option("CMD", line.exec.command, "the command and its arguments, after --")
      ->type_name("")
      ->required();
  exec->positionals_at_end();
  CLI::Option* pty = exec->add_flag("--pty", line.exec.wants_terminal,
                                    "give the command a terminal; default: when there is one");
  exec->add_flag("--pipe", line.exec.wants_pipes, "never give it a terminal")->excludes(pty);

  CLI::App* stop = add_command(app, line, "stop", "ask the processes of a run to stop",
                               [&line](Context& context) { return run_stop(context, line.stop); });
  add_run(stop, line.stop.run);

  CLI::App* checkpoint =
      add_command(app, line, "checkpoint", "ask all ranks of a run to save themselves at one step",
                  [&line](Context& context) { return run_checkpoint(context, line.checkpoint); });
  add_run(checkpoint, line.checkpoint.run);

  CLI::App* burst =
      add_command(app, line, "burst", "sample the machine of a run more often for a while",
                  [&line](Context& context) { return run_burst(context, line.burst); });
  add_run(burst, line.burst.run);
  burst->add_option("--hz", line.burst.rate, "samples a second")
      ->check(CLI::Range(1.0, 50.0))
      ->capture_default_str();
  burst->add_option("--seconds", line.burst.time_s, "for how long")
      ->check(CLI::Range(1.0, 600.0))
      ->capture_default_str();

  CLI::App* rm = add_command(app, line, "rm", "delete a run",
                             [&line](Context& context) { return run_rm(context, line.rm); });
  add_run(rm, line.rm.run);
  rm->add_flag("--force", line.rm.is_forced, "do not ask");
}

void add_sync(CLI::App& app, CommandLine& line) {
  CLI::App* sync =
      add_reader(app, line, "sync", "send stored runs to sinks; exit 1 if not all got there",
                 [&line](Context& context) { return run_sync(context, line.sync); });
  CLI::Option* runs = sync->add_option("RUN", line.sync.runs, kRunHelp)->type_name("");
  CLI::Option* all = sync->add_flag("--all", line.sync.is_all, "all runs")->excludes(runs);
  sync->add_option("--project", line.sync.project, "all runs of a project")
      ->type_name("NAME")
      ->excludes(runs)
      ->excludes(all);
  sync->add_option("--sink,--to", line.sync.sinks,
                   "where to; may be repeated; default: the run's own, else RINGLOG_SINKS")
      ->type_name("URL")
      ->take_all()
      ->allow_extra_args(false);
  sync->add_flag("-f,--follow", line.sync.is_following,
                 "send runs that go on until they have ended");
  line.sync.timeout_s = kSyncStallS;
  sync->add_option("--timeout", line.sync.timeout_s,
                   "give a run up when nothing was sent for so long; default: 300")
      ->check(CLI::Range(1, 1'000'000))
      ->type_name("SECONDS");
}

void add_machine(CLI::App& app, CommandLine& line) {
  CLI::App* service = app.add_subcommand("service", "the service of this user and machine");
  service->require_subcommand(1);
  service->fallthrough();
  add_command(*service, line, "start", "start it unless it runs", run_service_start);
  add_command(*service, line, "stop", "store everything, then end it", run_service_stop);
  add_reader(*service, line, "status", "process, version, runs; exit 1 when it does not run",
             run_service_status);

  CLI::App* doctor =
      add_reader(app, line, "doctor", "what is wrong with this machine, or with a run",
                 [&line](Context& context) { return run_doctor(context, line.doctor); });
  doctor->add_option("RUN", line.doctor.run, kRunHelp)->type_name("");
}

int run_chosen(const CommandLine& line) {
  auto root = find_root(line.dir);
  if (!root) {
    fail(root.error());
    return kExitUsage;
  }
  Output out(STDOUT_FILENO, "standard output");
  Context context{*std::move(root), detect_style(STDOUT_FILENO), line.is_json, out};
  const int code = line.chosen(context);
  out.flush();
  const Status written = out.status();
  return written ? code : fail(written.error());
}

int run(int argc, char** argv) {
  CommandLine line;
  CLI::App app("Metrics from many processes, without a lost row.");
  app.name("ringlog");
  app.set_version_flag("--version", std::string("ringlog ") + RINGLOG_VERSION);
  app.add_option("--dir", line.dir, "folder of the runs; default: RINGLOG_DIR, else ./ringlog")
      ->type_name("ROOT");
  app.require_subcommand(1);
  app.fallthrough();
  add_listing(app, line);
  add_tail(app, line);
  add_top(app, line);
  add_plot(app, line);
  add_export(app, line);
  add_actions(app, line);
  add_sync(app, line);
  add_machine(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version come as errors of code 0.
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  return run_chosen(line);
}

// What Child starts instead of a program that is to have SIGCHLD ignored.
int ignore_sigchld_and_run(char** words) {
  ::signal(SIGCHLD, SIG_IGN);
  ::execvp(words[0], words);
  const int error = errno;
  say(shm::errno_error(words[0], error).message);
  return error == ENOENT ? kExitNotFound : kExitCannotRun;
}

}  // namespace
}  // namespace ringlog::cli

int main(int argc, char** argv) {
  // Only the character set: numbers look the same in every country.
  ::setlocale(LC_CTYPE, "");
  if (argc > 2 && std::string_view(argv[1]) == ringlog::cli::kIgnoreSigchld) {
    return ringlog::cli::ignore_sigchld_and_run(argv + 2);
  }
  // A reader that went away is noticed at the write.
  ::signal(SIGPIPE, SIG_IGN);
  return ringlog::cli::run(argc, argv);
}
