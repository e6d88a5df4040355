#pragma once
// The last samples of a run's machine, as `show` tells them: a line or a table for each subject for
// people, every value under its name for machines.
//
// Plain functions; safe from any thread.

#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/style.h"
#include "store/stats.h"

namespace ringlog::cli {

// Null without samples.
Json system_json(const store::Stats& stats);
// Lines without line ends, of the last sample.  Requires one.
std::vector<std::string> system_lines(const store::Stats& stats, const Style& style);

}  // namespace ringlog::cli
