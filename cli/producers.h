#pragma once
// How runs and their producers look, the same in every command.
//
// Plain functions of their arguments; safe from any thread.

#include <cstdint>
#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/style.h"
#include "store/model.h"

namespace ringlog::cli {

// Which process of the run: "3", "3 w1" for a forked child, "exec" for `ringlog exec`.
std::string producer_label(const store::ProducerState& producer);
// "finished", "failed (3)", "crashed (SIGKILL)".
std::string producer_state(const store::ProducerState& producer);
// Green, yellow, red: how glad one is about a state.
Ink state_ink(const std::string& state);

uint64_t stored_rows(const store::ProducerState& producer);
uint64_t dropped_rows(const store::ProducerState& producer);
// Rings that are no longer read, a sentence each.
std::vector<std::string> poison_notes(const store::ProducerState& producer);

// Distinct ranks that have a process of their own in the run.
uint64_t rank_count(const std::vector<store::ProducerState>& producers);
// By rank, attempt and worker, the order of every table.
void sort_producers(std::vector<store::ProducerState>& producers);
Json json_of(const store::ProducerState& producer);

}  // namespace ringlog::cli
