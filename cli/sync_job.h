#pragma once
// SyncJob: one stored run on its way to its sinks, as `ringlog sync` sees it.
//
// The service does the work; a job asks it to begin, and then how far it is.  What was sent is
// kept in the run's store, so a job that is dropped is gone on with by the next one.  A value of
// one thread.

#include <ringlog/result.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cli/service.h"
#include "store/runs.h"

namespace ringlog::cli {

// Runs that are sent at once: as many as the service has connections for at one server
// (kHttpConnectionsPerHost), so that each has one and no more stores are open than are of use.
constexpr size_t kSyncRunsAtOnce = 8;
// Between two questions to the service: what a person sees as moving.
constexpr std::chrono::milliseconds kSyncPollMs{100};
// A run of which nothing was sent for so long is given up: five times the longest a Sender waits
// between two tries.
constexpr int32_t kSyncStallS = 300;

class SyncJob {
 public:
  enum class State { kWaiting, kSending, kDelivered, kFailed };
  struct Wish {
    bool is_following = false;  // until the run has ended
    int64_t stall_ns = 0;       // it fails after so long without progress
  };

  // `sinks`: URLs, at least one.
  SyncJob(store::RunPlace place, std::vector<std::string> sinks, Wish wish);

  // Asks the service to begin or what became of it; `now_ns` is monotonic.  An error says that the
  // connection is of no use any more: call lose_service(), then go on with another one.
  Status step(client::ControlClient& service, int64_t now_ns);
  void lose_service();
  // It cannot be done; for people.
  void fail(std::string why);

  bool is_over() const { return state_ == State::kDelivered || state_ == State::kFailed; }
  State state() const { return state_; }
  const store::RunPlace& place() const { return place_; }
  const std::vector<std::string>& urls() const { return urls_; }
  // As last heard, in the order of urls(); empty before the service has begun.
  const std::vector<LiveSink>& sinks() const { return sinks_; }
  uint64_t stored_rows() const { return stored_rows_; }
  // Of all its sinks, which have stored_rows() × urls().size() to get.
  uint64_t done_rows() const;
  // Why it failed, or what it waits for; empty: all well.
  const std::string& trouble() const { return trouble_; }

 private:
  void begin(const Result<LiveRun>& run, int64_t now_ns);
  void update(const LiveRun& run, int64_t now_ns);
  void note_progress(int64_t now_ns);
  bool is_caught_up() const;
  void conclude(const LiveRun& run);

  const store::RunPlace place_;
  const std::vector<std::string> urls_;
  const Wish wish_;
  State state_ = State::kWaiting;
  std::vector<LiveSink> sinks_;
  std::map<std::string, uint64_t> looks_;  // by URL: which look is to be sent whole
  uint64_t stored_rows_ = 0;
  bool is_last_round_ = false;  // of a run that was followed to its end
  uint64_t progress_ = 0;       // grows with whatever is sent
  int64_t progress_ns_ = 0;     // when it last grew; 0: never asked
  std::string trouble_;
};

}  // namespace ringlog::cli
