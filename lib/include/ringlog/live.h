#pragma once
// LiveSummary: what a run comes to so far, read from shared memory while it goes on.
//
//   auto live = ringlog::LiveSummary::open(run.dir());
//   if (live) std::puts(live->json()->c_str());
//
//   {"rows": 48000, "metrics_left_out": 0, "summary": {"loss": 0.5},
//    "ranks": {"loss": {"ranks": 4, "mean": 0.6, "min": 0.5, "min_rank": 0, "max": 0.8, …}}}
//
// `summary` is that of `ringlog show`; `ranks` compares the last values over the ranks.  The
// service writes it about ten times a second, a little after rows are stored.  Reading asks nobody:
// it works while the service stands still, and costs the programs that log nothing.
//
// An object belongs to one thread at a time; any number of processes may read one run.

#include <ringlog/export.h>
#include <ringlog/result.h>

#include <cstdint>
#include <memory>
#include <string>

namespace ringlog {

class RINGLOG_API LiveSummary {
 public:
  // `run_dir`: absolute, as Run::dir() gives it.  Looks in the runtime directory of this process.
  //   kNotFound                     the run is not open in the service
  //   kVersion, kCorrupt, kIo, kPermission  the page cannot be used
  static Result<LiveSummary> open(const std::string& run_dir);
  LiveSummary(LiveSummary&&) noexcept;
  LiveSummary& operator=(LiveSummary&&) noexcept;
  ~LiveSummary();

  // The newest text: no system call while the service has the run open; afterwards the last one.
  //   kNotFound  there is none yet; kTimeout  it changed while it was copied, again and again
  Result<std::string> json();
  // When the service wrote what json() returned last: nanoseconds since the Unix epoch.
  int64_t time_ns() const;

 private:
  struct Impl;
  explicit LiveSummary(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringlog
