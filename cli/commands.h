#pragma once
// The commands, one file each (cmd_*.cc): what they are told and what they answer.
//
// Each takes the context and its own options, writes data to context.out and messages to standard
// error, and returns the exit code: 0 ok, 1 failed, 2 usage.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "cli/context.h"

namespace ringlog::cli {

struct LsOptions {
  size_t count_max = 0;  // 0: all
};
int run_ls(Context& context, const LsOptions& options);

struct ShowOptions {
  std::string run;
  bool is_whole = false;  // long sections are not cut
};
int run_show(Context& context, const ShowOptions& options);

struct TailOptions {
  std::string run;
  size_t row_count = 10;
  bool is_following = false;
  bool is_console = false;       // lines of the console, not rows
  std::vector<int32_t> ranks{};  // empty: all
};
int run_tail(Context& context, const TailOptions& options);

struct PlotOptions {
  std::string run;
  std::vector<std::string> metrics;
  std::string x;                 // `step` or a metric; empty: as the metric is defined
  std::vector<int32_t> ranks{};  // empty: all
  uint64_t step_begin = 0;
  uint64_t step_last = std::numeric_limits<uint64_t>::max();
  size_t width = 0;   // 0: of the terminal
  size_t height = 0;  // of each plot; 0: so that all fit the terminal
  bool is_ascii = false;
};
int run_plot(Context& context, const PlotOptions& options);

enum class ExportFormat { kJsonl, kCsv, kTfevents, kWandb, kLog };
struct ExportOptions {
  std::string run;
  ExportFormat format = ExportFormat::kJsonl;
  // Of jsonl, csv and log: empty or "-" is standard output.  Of the others: a folder; empty is one
  // in the working directory, see docs/cli.md.
  std::string path{};
  bool splits_ranks = false;  // wandb: a run for each rank
  bool is_console = false;    // jsonl: lines of the console, not rows
};
int run_export(Context& context, const ExportOptions& options);

struct VerifyOptions {
  std::string run;
};
int run_verify(Context& context, const VerifyOptions& options);

struct TopOptions {
  std::string run{};      // empty: all
  double interval_s = 1;  // between two looks
  uint64_t count = 0;     // so many pages; 0: as long as somebody looks
};
int run_top(Context& context, const TopOptions& options);

int run_service_start(Context& context);
int run_service_stop(Context& context);
int run_service_status(Context& context);

struct DoctorOptions {
  std::string run{};  // empty: the machine only
};
int run_doctor(Context& context, const DoctorOptions& options);

struct ExecOptions {
  std::vector<std::string> command;
  bool wants_terminal = false;  // for the program, although standard output is none
  bool wants_pipes = false;     // for the program, although standard output is a terminal
};
int run_exec(Context& context, const ExecOptions& options);

struct RmOptions {
  std::string run;
  bool is_forced = false;  // asks nothing
};
int run_rm(Context& context, const RmOptions& options);

struct StopOptions {
  std::string run;
};
int run_stop(Context& context, const StopOptions& options);
int run_checkpoint(Context& context, const StopOptions& options);

struct BurstOptions {
  std::string run;
  double rate = 20;    // samples a second
  double time_s = 10;  // for so long
};
int run_burst(Context& context, const BurstOptions& options);

struct SyncOptions {
  std::vector<std::string> runs{};   // names
  bool is_all = false;               // instead: all under the root
  std::string project{};             // instead: all of this project
  std::vector<std::string> sinks{};  // empty: those of each run, else of the settings
  bool is_following = false;         // runs that go on are sent until they end
  int32_t timeout_s = 0;             // without progress; then a run is given up
};
int run_sync(Context& context, const SyncOptions& options);

}  // namespace ringlog::cli
