#pragma once
// How `ringlog top` looks: a frame as lines for people, or as a document for programs.
//
// Plain functions of their arguments; safe from any thread.

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/style.h"
#include "cli/top_model.h"

namespace ringlog::cli {

// Processes on a page that has no end: what somebody reads.  --json has all of them.
inline constexpr size_t kTopProcessesMax = 100;
// The same of runs and of sinks.
inline constexpr size_t kTopRunsMax = 50;

struct TopView {
  TopOrder order = TopOrder::kRate;
  // Lines that there is room for: runs and sinks get a third of them each at most, processes the
  // rest.
  size_t lines_max = std::numeric_limits<size_t>::max();
  std::string help{};    // which keys there are; empty: none
  std::string notice{};  // what went wrong; empty: nothing
};

// Lines without line ends.  On a terminal none is wider than it.  `frame`: nullptr when there is
// none, because no service answers.
std::vector<std::string> top_lines(const TopFrame* frame, const TopView& view, const Style& style);

// One object; numbers that are not known are null.  `error`: why there is no frame.
Json top_json(const TopFrame* frame, const std::string& error, int64_t realtime_ns);

}  // namespace ringlog::cli
