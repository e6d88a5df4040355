#pragma once
// Gauges: what moves in the running service, as plain values: what `ringlog top` looks at.
//
// Counters only grow while one service runs; top_model.h makes rates of two looks.  One thread.

#include <ringlog/result.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/service.h"

namespace ringlog::cli {

// The service answers in a third of a second whatever it does, unless it stands still.
constexpr std::chrono::milliseconds kGaugesWait{1'000};

struct RingGauges {
  uint64_t used_bytes = 0;  // committed, not yet given back
  uint64_t capacity = 0;
  bool is_poisoned = false;  // it is not read any more
};

// A process that may log.
struct ProducerGauges {
  uint32_t producer = 0;  // unique in the run
  int32_t rank = 0;
  int32_t attempt = 0;
  uint32_t worker = 0;
  int32_t pid = 0;
  bool is_waiting = false;  // sleeps until a ring has room
  uint64_t logged = 0;      // rows, and so on
  uint64_t stored = 0;
  uint64_t dropped = 0;
  uint64_t waited_ns = 0;           // how long it has slept for room
  std::vector<RingGauges> rings{};  // those in use
};

struct RunGauges {
  std::string run_id{};
  std::string project{};
  std::string dir{};  // unique
  std::string state{};
  std::string store_error{};  // why the store cannot be written; empty: all well
  uint64_t live = 0;          // processes that may log
  uint64_t logged = 0;        // rows of all processes it ever had, and so on
  uint64_t stored = 0;
  uint64_t dropped = 0;
  uint64_t backlog_bytes = 0;  // committed, not yet stored
  uint64_t lag_ms = 0;         // how long the oldest of that has been waiting
  std::vector<ProducerGauges> producers{};
  uint64_t producers_left_out = 0;
  std::vector<LiveSink> sinks{};
};

struct Gauges {
  int64_t time_ns = 0;  // monotonic, of the service's machine
  int32_t pid = 0;      // of the service, and so on
  int64_t started_ns = 0;
  std::string version{};
  uint32_t epoch = 0;  // another one: another service
  uint32_t threads = 0;
  uint64_t cpu_ns = 0;
  uint64_t memory_bytes = 0;
  std::vector<RunGauges> runs{};
  uint64_t sinks_left_out = 0;
  bool is_sinks_unknown = false;  // the service was too busy to say
};

// What moves in the run of this directory, or in all runs with an empty one.  kNotFound: no run is
// open there.  Others as those of service.h.
Result<Gauges> ask_gauges(client::ControlClient& service, const std::string& dir,
                          std::chrono::milliseconds timeout);

}  // namespace ringlog::cli
