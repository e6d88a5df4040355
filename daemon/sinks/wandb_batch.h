#pragma once
// The lines of one file_stream request, from a view of the store.
//
// A server keeps a line under its number, so a line that is sent twice is there once, provided it
// is the same line.  Which rows a batch holds depends on when one looks: ranks go on at their own
// pace, and a step is one line with the values of all ranks.  So plan_batch() decides once, the
// plan goes into the store before anything is sent, and read_batch() makes the same lines of it
// however often it is asked: rows between two positions of each lane never change, are visited in
// the order of rank, attempt, worker and ring, and are merged by step within the batch alone.
//
// Plain functions on the thread of the reader.

#include "daemon/sinks/wandb_cursor.h"
#include "formats/wandb_run.h"
#include "store/reader.h"

#include <ringlog/result.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ringlog::service {

struct WandbPlan {
  WandbReach reach{};
  bool is_empty = true;
  bool is_full = false;    // there is more than one batch may hold
  bool has_facts = false;  // config, summary, metrics, files or processes are among the records
  int64_t held_ns = -1;    // rows wait for those of other ranks, so long at most; -1: none do
};

// A step of a run that goes on waits kWandbHoldNs for the other ranks, at the start longer for
// ranks that the launcher announced.  `rows_max`: rows, and also records.  Errors as the reader.
Result<WandbPlan> plan_batch(store::RunReader& reader, const store::SinkState& state,
                             const WandbCursor& cursor, const formats::WandbFacts& facts,
                             size_t rows_max, int64_t now_ns);

struct WandbBatch {
  std::vector<std::string> history{};
  std::vector<std::string> events{};
  std::vector<std::string> output{};
  uint64_t rows = 0;
  uint64_t records = 0;
  uint64_t left_out = 0;  // rows that no line may be as long as
  WandbCursor after{};    // once it is acknowledged
};

// Errors as the reader.
Result<WandbBatch> read_batch(store::RunReader& reader, const store::SinkState& state,
                              const WandbCursor& cursor, const formats::WandbFacts& facts,
                              const WandbReach& reach);

// All that was printed, as the file output.log; cut off at `size_max` bytes.
Result<std::string> read_console(store::RunReader& reader, const formats::WandbFacts& facts,
                                 bool has_ranks, size_t size_max);

}  // namespace ringlog::service
