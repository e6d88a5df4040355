#pragma once
// How runs and their processes look, the same in every command.
//
// Plain functions of their arguments; safe from any thread.

#include <ringlog/reader.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/style.h"

namespace ringlog::cli {

// Which process of the run: "3", "3 w1" for a forked child, "exec" for `ringlog exec`.
std::string process_label(const ProcessDescription& process);
// "finished", "failed (3)", "crashed (SIGKILL)".
std::string process_state(const ProcessDescription& process);
// Green, yellow, red: how glad one is about a state.
Ink state_ink(const std::string& state);

// Rings that are no longer read, a sentence each.
std::vector<std::string> poison_notes(const ProcessDescription& process);

// Processes that lost records other than rows, a sentence each.
std::vector<std::string> lost_record_notes(const std::vector<ProcessDescription>& processes);

// Why rows of processes may be neither stored nor counted: a sentence for each reason, which names
// the first of them and counts the others.
std::vector<std::string> unread_notes(const std::vector<ProcessDescription>& processes);
// The same of those that have ended.
std::vector<std::string> unread_end_notes(std::vector<ProcessDescription> processes);

// Distinct ranks that have a process of their own in the run.
uint64_t rank_count(const std::vector<ProcessDescription>& processes);
// Ranks below the world size that the launcher gave and that have never joined: late, or on another
// machine.  The first kAbsentRanksMax of them.
inline constexpr size_t kAbsentRanksMax = 1000;
std::vector<int32_t> absent_ranks(const std::vector<ProcessDescription>& processes);
Json json_of(const ProcessDescription& process);

}  // namespace ringlog::cli
