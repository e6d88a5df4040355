#pragma once
// Backlog: runs that have ended and are closed although sinks do not have all of them.
//
// A run that is open costs a LevelDB, descriptors and a place among kRunsOpenMax.  One whose sinks
// are away is closed, and only this is kept of it.  Runs that wait for the same sinks share a
// *place*: while it fails, one of them is opened at a time, each time another one, with exponential
// backoff; once one got everything there, the others follow, kUnsentOpenMax at a time.
//
//   add/park → waits → next() → is tried → settle | park | fail
//                                        ↘ leave: somebody logs to it again, or asks for it
//
// What of it the next service needs stands in UnsentNotes.  Control thread only, but for the notes,
// which are written by the network thread; nothing blocks.

#include "daemon/clock.h"
#include "daemon/run_spec.h"

#include <ringlog/handle.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>

namespace ringlog::service {

// An ended run whose sinks are behind.
struct Behind {
  RunInfo info;
  RunStatus status;   // when it was closed, without processes
  std::string place;  // the sinks that are behind
};

class Backlog {
 public:
  Backlog(const Clock& clock, uint64_t jitter_seed) : clock_(clock), random_(jitter_seed) {}

  // Of an earlier service: is tried soon.
  void add(Behind run);
  // Closed by this service; its sinks want nothing before `next_try_ms`.
  void park(Behind run, int64_t next_try_ms);
  // The next run to open; nothing: not now.
  std::optional<RunInfo> next();
  // What became of it: its sinks have everything or want nothing more…
  void settle(const std::string& dir);
  // …or it could not be opened.  Nothing, unless it is tried.
  void fail(const std::string& dir, const std::string& why);
  // It is open for another reason; whoever closes it parks it again.
  void leave(const std::string& dir);

  // nullptr: it is none of these, or of an earlier service and not tried yet.
  const RunStatus* find(const std::string& dir) const;
  bool has(const std::string& dir) const { return runs_.contains(dir); }
  bool is_empty() const { return runs_.empty(); }
  // Monotonic: when a sink took something for the last time, or a run came.
  int64_t progress_ms() const { return progress_ms_; }

 private:
  struct Place {
    std::deque<std::string> waiting;  // directories, the next one first
    std::set<std::string> tried;      // open now
    bool is_good = false;             // the last one got everything
    int failures = 0;                 // in a row
    int64_t next_try_ms = 0;
  };
  using Places = std::map<std::string, Place>;

  // Takes it out of its place, which it returns; nullptr: it was in none.
  Place* take(const std::string& dir);
  // Forgets it, and its place with the last one.
  void forget(const std::string& dir);
  void back_off(Place& place, int64_t not_before_ms);

  const Clock& clock_;
  std::mt19937_64 random_;
  std::map<std::string, Behind> runs_;  // by directory: those that wait and those that are tried
  Places places_;                       // by Behind::place
  size_t tried_ = 0;
  int64_t progress_ms_ = 0;
};

}  // namespace ringlog::service
