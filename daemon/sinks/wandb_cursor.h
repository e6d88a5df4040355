#pragma once
// WandbCursor: how far a W&B server has a run, as text in the run's store.
//
// A value.

#include "store/model.h"

#include <ringlog/result.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace ringlog::service {

// The end of a batch: which rows, records and samples are in it, and what decides how its lines
// look.
struct WandbReach {
  store::Cursors lanes{};  // of the rows that are in it
  uint64_t record_lsn = 0;
  int64_t stats_ns = 0;        // of the last sample
  bool has_ranks = false;      // series are named after their ranks
  bool ends_consoles = false;  // nobody prints any more: unfinished lines are lines
  bool operator==(const WandbReach&) const = default;
};

struct WandbCursor {
  // The run as the server calls it; no entity: it was not told of the run yet.
  std::string entity{};
  std::string project{};
  // Lines there, by stream.
  uint64_t history = 0;
  uint64_t events = 0;
  uint64_t output = 0;
  int64_t stats_ns = 0;    // samples up to this time are there
  uint64_t alert_lsn = 0;  // alerts before this record were passed on
  bool has_ranks = false;
  bool is_complete = false;  // it knows the exit code
  // The last row; without a time there was none.
  uint64_t step = 0;
  int64_t time_ns = 0;
  // Processes in the middle of a line: the record from which on it has to be read again, and how
  // many lines between there and here are sent.
  struct Console {
    uint64_t lsn = 0;
    uint64_t lines = 0;
    bool operator==(const Console&) const = default;
  };
  std::map<uint32_t, Console> consoles{};      // by producer
  std::map<std::string, std::string> files{};  // that are there: name → size and time of change
  // A batch that was sent, and of which nobody knows whether it arrived.
  std::optional<WandbReach> reach{};
  bool operator==(const WandbCursor&) const = default;
};

std::string to_text(const WandbCursor& cursor);
// kCorrupt: it is no such text.
Result<WandbCursor> read_wandb_cursor(const std::string& text);

}  // namespace ringlog::service
