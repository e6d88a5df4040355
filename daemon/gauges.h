#pragma once
// Gauges: what moves while runs are open, for whoever watches: fill of rings, rows, lag, sinks.
//
// Read from what is there anyway: the words of the segments, positions of the readers, sums of the
// board.  A look costs some words of each ring that is in use and, on the board, an addition for
// each ring of each process the run ever had.  Answers are bounded by the limits below.
//
// read_gauges() belongs to the drain thread; the rest are values.

#include "daemon/run_spec.h"

#include <ringlog/handle.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ringlog::service {

class Intake;
class RunBoard;

// Processes that one answer tells of, in all runs: as many as can be connected at a time
// (kConnectionsMax), some 100 bytes each.
inline constexpr size_t kGaugesProducersMax = 2048;
// Sinks in all runs; people look at some.
inline constexpr size_t kGaugesSinksMax = 256;
// Bytes of each text that somebody else made: an error that a server answers, an address.
inline constexpr size_t kGaugesTextMax = 512;
// An answer goes out after this long without what a busy thread would have added to it.
inline constexpr int64_t kGaugesWaitMs = 300;

struct RingGauges {
  uint64_t used_bytes = 0;  // committed, and the room not given back yet
  uint64_t capacity = 0;
  bool is_poisoned = false;
};

struct ProducerGauges {
  uint32_t producer = 0;
  int32_t rank = 0;
  int32_t attempt = 0;
  uint32_t worker = 0;
  int32_t pid = 0;
  bool is_waiting = false;
  uint64_t logged = 0;  // rows that it tried to log, as far as is known
  uint64_t stored = 0;
  uint64_t dropped = 0;
  uint64_t waited_ns = 0;
  uint64_t unstored_bytes = 0;
  std::vector<RingGauges> rings{};  // those in use
};

struct RunGauges {
  std::string run_id{};
  std::string project{};
  std::string dir{};
  std::string state{};
  std::string store_error{};
  uint32_t live = 0;
  uint64_t logged = 0;
  uint64_t stored = 0;
  uint64_t dropped = 0;
  uint64_t backlog_bytes = 0;
  uint64_t lag_ms = 0;
  std::vector<ProducerGauges> producers{};
  uint32_t producers_left_out = 0;
  std::vector<SinkStatus> sinks{};
};

struct Gauges {
  int64_t time_ns = 0;  // monotonic, when the runs were read
  std::vector<RunGauges> runs{};
  uint32_t sinks_left_out = 0;
  bool is_sinks_unknown = false;
};

// One run; `producers_max`: those with most in their rings, the others are counted.
RunGauges read_gauges(const RunInfo& info, const RunBoard& board, const Intake& intake,
                      int64_t now_ms, size_t producers_max);
// The sinks of a run, as far as `room` for them lasts; it is counted down.
void take_sinks(RunGauges& run, std::vector<SinkStatus> sinks, size_t& room, uint32_t& left_out);

}  // namespace ringlog::service
