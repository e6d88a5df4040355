#pragma once
// Console: what the programs of a run printed, as lines, for every command that shows it.
//
// Lines of one process are in their order (formats/console_lines.h); those of several are put in
// order of their times.  A value of one thread, which keeps the reader it is given.

#include <ringlog/result.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/output.h"
#include "formats/console_lines.h"
#include "store/reader.h"

namespace ringlog::cli {

struct ConsoleEntry {
  int32_t rank = 0;
  int32_t attempt = 0;
  uint32_t worker = 0;
  formats::ConsoleLine line{};
};

class Console {
 public:
  using Visitor = std::function<void(ConsoleEntry)>;

  // `ranks`: only these; empty: all.  `held_lines`: of each process, as ConsoleLines says.
  Console(store::RunReader& reader, std::vector<int32_t> ranks, size_t held_lines)
      : reader_(reader), ranks_(std::move(ranks)), held_lines_(held_lines) {}

  // Visits what the reader has that was not visited before.  Errors of the reader.
  Status read(const Visitor& visitor);
  // Visits the lines that are held back or have no end.
  void finish(const Visitor& visitor);

  // Looks who has spoken, so that the first line is labelled as the last one.
  Status find_speakers();
  // The newest `count` lines, oldest first.  Calls finish() too when `is_whole`.
  Result<std::vector<ConsoleEntry>> read_last(size_t count, bool is_whole);

  // "[rank1] " once more than one process has spoken, else nothing.
  std::string label(const ConsoleEntry& entry) const;

 private:
  struct Speaker {
    ConsoleEntry who;
    bool is_wanted = true;
    formats::ConsoleLines lines;
  };
  Result<Speaker*> find_speaker(uint32_t producer);

  store::RunReader& reader_;
  std::vector<int32_t> ranks_;
  size_t held_lines_;
  uint64_t next_lsn_ = 0;
  std::map<uint32_t, Speaker> speakers_;  // by producer
};

// The last lines alone, from no more of the store than they need: what comes before them is skipped
// without being drawn.
Result<std::vector<ConsoleEntry>> last_console_lines(store::RunReader& reader, size_t count);

Json json_of(const ConsoleEntry& entry);
// All lines, as text or as a JSON object each; their number.  Memory does not grow with the run.
// `ranks`: only these; empty: all.
Result<uint64_t> write_console(store::RunReader& reader, std::vector<int32_t> ranks, bool is_json,
                               Output& out);

}  // namespace ringlog::cli
