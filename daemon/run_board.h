#pragma once
// RunBoard: who takes part in a run, and what that makes of the run.
//
// The only part of a stream that several threads use: the control thread lets producers join, the
// drain thread reports how they ended, the store thread reports a disk that fails.  Guarded by one
// mutex, held for microseconds; nothing blocks.

#include "daemon/run_spec.h"
#include "store/model.h"

#include <ringlog/result.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ringlog::service {

// A process that is attached now.
struct RunningProcess {
  int32_t pid = 0;
  uint64_t pid_start = 0;
  int32_t rank = 0;
  int32_t local_rank = -1;
};

// Rows of several producers.
struct RowSums {
  uint64_t attempted = 0;
  uint64_t stored = 0;
  uint64_t dropped = 0;
};

class RunBoard {
 public:
  RunBoard(store::RunMeta meta, const std::vector<store::ProducerState>& producers);

  // Lets a process join: chooses id, rank, attempt and worker so that (rank, attempt, worker) is
  // unique in the run, and makes the run running again.
  // Its id is above `taken`.
  //   kNotFound         the parent that a forked child names is not in the run
  //   kInvalidArgument  a rank or an attempt above its limit
  Result<store::ProducerState> join(const ProducerSpec& spec, const Peer& peer,
                                    const std::string& host, int64_t now_ns, uint32_t taken = 0);
  // Ids up to `last` are taken: rows name it, though what it stands for may be lost.
  void reserve(uint32_t last);
  // A join that came to nothing.
  void forget(uint32_t producer);
  // A segment that a restarted service found.  False: the id belongs to another segment.
  bool adopt(const store::ProducerState& state);
  // The process is dead, though not all of it is stored: its rank is free.
  void mark_gone(uint32_t producer);
  // What the drain thread knows now; recomputes the run's state.
  void update(const store::ProducerState& state, int64_t now_ns);

  // Merges what a later init() says about the run: only fields that were empty.
  void describe(const RunSpec& spec);
  void request_stop();
  bool is_stop_requested() const;

  store::RunMeta meta() const;
  // The description, if it changed since the last call: for the next commit.
  std::optional<store::RunMeta> take_changed_meta();
  std::vector<store::ProducerState> producers() const;
  std::optional<store::ProducerState> producer(uint32_t id) const;
  // Those whose state is running, by id.
  std::vector<RunningProcess> running() const;
  // The run's setting: milliseconds between samples of the machine; 0: default, -1: none.
  int32_t monitor_ms() const;
  // Producers whose state is running.
  size_t running_count() const;
  // Rows of all producers but these, whose ids rise.
  RowSums rows_without(std::span<const uint32_t> producers) const;
  // Where automatic steps of this rank go on.
  uint64_t next_step(int32_t rank) const;

  // Why the store cannot be written now; empty: all well.
  void set_store_error(const std::string& error);
  std::string store_error() const;

 private:
  struct Entry {
    store::ProducerState state;
    bool is_gone = false;
  };
  bool is_live(const Entry& entry) const;
  bool is_taken(int32_t rank, int32_t attempt, uint32_t worker) const;
  int32_t free_rank() const;
  int32_t next_attempt(int32_t rank) const;
  // That attempt of a rank, or its newest (-1), if its process lives; nullptr: none.
  const store::ProducerState* live_rank(int32_t rank, int32_t attempt) const;
  void choose(const ProducerSpec& spec, store::ProducerState& state) const;
  Status choose_worker(const ProducerSpec& spec, store::ProducerState& state) const;
  void recompute(int64_t now_ns);

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  store::RunMeta meta_;
  bool is_meta_changed_ = false;
  bool is_stop_requested_ = false;
  std::map<uint32_t, Entry> entries_;
  uint32_t last_reserved_ = 0;
  std::string store_error_;
};

// The run's state from those of its producers (DESIGN 2.6): running while one runs, else what the
// newest attempt of each rank came to.
std::string run_state(const std::vector<store::ProducerState>& producers, bool is_stop_requested);

}  // namespace ringlog::service
