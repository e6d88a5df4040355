#pragma once
// A run: what user code logs to.
//
//   auto run = ringlog::init({.project = "demo"});
//   for (int step = 0; step < 1000; ++step) run.log({{"loss", 1.0 / (step + 1)}});
//   run.finish();  // or not: falling off main is as good
//
// log() copies into shared memory and returns.  In steady state it makes no system call, takes no
// lock shared with another process, allocates nothing and never throws.  What it could not keep is
// counted and appears in the report, in `ringlog show` and in `ringlog verify`.
//
// All methods of Run and Row may be called from any thread at the same time, also in a child after
// fork(): the child attaches with a segment of its own on first use.  There is no background
// thread.

#include <ringlog/export.h>
#include <ringlog/handle.h>
#include <ringlog/settings.h>
#include <ringlog/value.h>

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringlog {

namespace detail {
class RunCore;   // lib/client/run_core.h
struct RowCore;  // lib/client/row.h
}  // namespace detail

struct LogOptions {
  std::optional<uint64_t> step{};    // unset: the row after this rank's last one
  std::optional<int64_t> time_ns{};  // unset: now; nanoseconds since the Unix epoch
  // False: more of this step follows.  What is here is safe at once, as a row of its own; the next
  // row without a step belongs to the same one, and views show the rows of a step together.
  bool commit = true;
};

struct MetricOptions {
  std::string step_metric{};           // the metric that is the x axis; empty: the step
  std::vector<std::string> summary{};  // of: last, first, min, max, mean, none
  bool hidden = false;
};

// What a sink last said; of several the worst.
enum class NetworkState : uint8_t { kUnknown = 0, kGood = 1, kRetrying = 2, kRefused = 3 };

// How far the rows of this process are, from words in shared memory.
struct SyncStatus {
  uint64_t attempted = 0;  // log() calls, dropped ones included
  uint64_t dropped = 0;
  uint64_t stored = 0;
  uint64_t synced = 0;
  uint64_t sent = 0;  // acknowledged by every sink; 0 without sinks
  NetworkState network = NetworkState::kUnknown;
  // Rows that are in shared memory only.
  uint64_t lag() const {
    const uint64_t known = stored + dropped;
    return attempted > known ? attempted - known : 0;
  }
};

enum class AlertLevel : uint8_t { kInfo = 0, kWarn = 1, kError = 2 };

// When a file is copied into the run's files/ folder.
enum class SavePolicy : uint8_t {
  kNow = 0,   // before save() returns
  kLive = 1,  // by the service, some seconds after each change, and when the process ends
  kEnd = 2,   // by the service, when the process ends, however it does
};

// Files as far as they are copied; of all of them in the end.
struct SaveReport {
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t bytes_left = 0;
};

struct SaveOptions {
  SavePolicy policy = SavePolicy::kNow;
  // A folder above the files: the path below it is the file's name below files/.  Empty: of a
  // relative path all of it, of others what follows the last folder without a wildcard.
  std::string base_path{};
  std::function<void(const SaveReport&)> on_progress{};  // of kNow, every 8 MiB
};

// Rows with a fixed set of keys: the hot path.  Copies share; keeps its run alive.
class RINGLOG_API Row {
 public:
  // One float64 per key, in the order given to Run::row().  An argument count that differs from
  // the key count is counted as a dropped row and said once on stderr.
  template <typename... T>
  void log(uint64_t step, T... values) noexcept {
    const std::array<double, sizeof...(T)> cells{static_cast<double>(values)...};
    log_cells(step, cells);
  }
  void log_cells(uint64_t step, std::span<const double> cells) noexcept;

 private:
  friend class Run;
  explicit Row(std::shared_ptr<detail::RowCore> core) : core_(std::move(core)) {}
  std::shared_ptr<detail::RowCore> core_;
};

class RINGLOG_API Run {
 public:
  // A run that nobody logs to: disabled, without a message.
  Run();
  Run(Run&&) noexcept;
  Run& operator=(Run&&) noexcept;
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  // Finishes if finish() was not called: with what exit() was told or main() returns, where the
  // process ends within some seconds (Linux 6.15); 1 while an exception unwinds; else 0.
  ~Run();

  // Logs one row.  Never throws, never fails: what cannot be kept is counted.  A key that is empty
  // or not UTF-8 refuses the row with the reason, once on stderr and in error().
  void log(std::initializer_list<Item> items, LogOptions options = {}) noexcept;
  void log(std::span<const Item> items, LogOptions options = {}) noexcept;

  // A fixed set of keys for log() at full speed.  Keys must be valid as in log(), and unique.
  Row row(std::initializer_list<std::string_view> keys);
  Row row(std::span<const std::string_view> keys);

  // Merges into the run's config; nested objects are merged key by key.
  void config(std::initializer_list<Item> items) noexcept;
  void config(std::span<const Item> items) noexcept;
  // Sets summary values; they override the ones derived from rows.
  void summary(std::initializer_list<Item> items) noexcept;
  void summary(std::span<const Item> items) noexcept;
  // How metrics of this name (or `prefix*`) are shown and summarised.  A name in `summary` that is
  // not one of those above refuses the definition, with the reason in error().
  void define_metric(std::string_view name, const MetricOptions& options = {}) noexcept;
  // A message for people.  Within `min_interval` after one of the same title from this process it
  // is only counted; the next one says how many there were.
  void alert(std::string_view title, std::string_view text, AlertLevel level = AlertLevel::kInfo,
             std::chrono::nanoseconds min_interval = std::chrono::seconds(60)) noexcept;
  // Copies a file into the run's files/ folder, whole or not at all; save(path, {}) says how much.
  Status save(const std::string& path);
  // The same for the files that a pattern names now (`*`, `?`, `[a-z]`; folders are left out), at
  // the time that the policy says.  With kLive and kEnd a single file may still be to come, it must
  // stay where it is until the process has ended, and finish() waits until it is copied.
  //   kNotFound         there is no such file
  //   kInvalidArgument  a folder, a device, a name that leads out of files/, too many files
  //   kIo, kPermission  a file cannot be read, or the run's folder not be written; others were kept
  //   kDisabled         the run does not log
  Result<SaveReport> save(const std::string& pattern, const SaveOptions& options);
  // A piece of console output, kept with the run.
  void console(std::string_view bytes, bool is_stderr) noexcept;

  // Asks for everything logged so far by this process to reach `level`.
  Handle<Positions> flush(Durability level);
  Handle<RunInfo> deliver_run();
  // The run's live summary as a JSON object.
  Handle<std::string> deliver_summary();
  // Like finish(), but returns at once.
  Handle<FinishReport> deliver_finish(int exit_code = 0);

  // True once somebody asked the run to stop (`ringlog stop`).  One load.
  bool should_stop() const noexcept;
  // The same for ranks that work in step: true from the step on that the service gave all of them,
  // a little ahead of the furthest.  Call it once a step, by every rank with the same steps.
  bool should_stop(uint64_t step) noexcept;
  // True once for each `ringlog checkpoint`, at the step that the service gave all ranks, or the
  // first one after it that asks.  Call it as should_stop(step).
  bool should_checkpoint(uint64_t step) noexcept;
  // Positions of this process's rows and the state of the network; no system call, no request.
  SyncStatus sync_status() const noexcept;

  // Ends this process's part in the run and waits at most `timeout` until its rows are stored.  The
  // counts are exact; after kTimeout or kServiceGone `stored` is what is known.  Later calls return
  // the same report; log() is a counted no-op from now on.
  FinishReport finish(int exit_code = 0,
                      std::chrono::nanoseconds timeout = std::chrono::seconds(30));

  const std::string& id() const noexcept;
  const std::string& name() const noexcept;
  const std::string& dir() const noexcept;  // absolute; empty when disabled
  int32_t rank() const noexcept;
  int32_t attempt() const noexcept;
  // True when logging works.
  bool ok() const noexcept;
  // Why the run is disabled, or the last thing that was refused; kOk: nothing.
  Error error() const;

 private:
  friend class detail::RunCore;
  explicit Run(std::shared_ptr<detail::RunCore> core);
  std::shared_ptr<detail::RunCore> core_;
};

// Starts or finds the service, creates or joins the run and maps a segment.  Always returns a
// usable Run: when logging cannot work the run is disabled, says so once on stderr and in error(),
// and log() is a counted no-op.  With Settings::strict it throws std::runtime_error instead. Waits
// at most 12 s, and that only for a service that hangs or takes so long to end.
RINGLOG_API Run init(const Settings& settings = {});

// The same for callers that want the error.
//   kInvalidArgument  a setting that cannot be used
//   kPermission       runtime directory or peer belongs to somebody else
//   kServiceGone      the service cannot be started or reached
//   kVersion          the service is of another version
//   kIo, kCorrupt     the run's directory cannot be written, its store not be opened
RINGLOG_API Result<Run> try_init(const Settings& settings = {});

}  // namespace ringlog
