#pragma once
// The alerts of a run, for people and programs.
//
// Plain functions of their arguments; one thread.

#include <ringlog/result.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/table.h"
#include "store/reader.h"

namespace ringlog::cli {

struct AlertEntry {
  int64_t time_ns = 0;
  int32_t rank = 0;
  int32_t attempt = 0;
  std::string level;  // info | warn | error
  std::string title;
  std::string text;
};

// The last `count_max` of them, oldest first, and how many there are.
struct Alerts {
  std::vector<AlertEntry> last;
  size_t count = 0;
};

// Errors as the reader.
Result<Alerts> read_alerts(store::RunReader& reader, size_t count_max);

// Time, rank, level, title and text of each.
Table alerts_table(const Alerts& alerts);
Json json_of(const AlertEntry& alert);

}  // namespace ringlog::cli
