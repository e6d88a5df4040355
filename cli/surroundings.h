#pragma once
// Surroundings: what surrounds the processes of a run, for the commands that tell it.
//
// Plain functions of their arguments; safe from any thread.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/json.h"
#include "record/process_facts.h"
#include "store/processes.h"

namespace ringlog::cli {

using store::ProcessEntry;

// files/diff.patch of the run; empty: it has none.
std::string diff_path(const std::string& run_dir);

// The lines of `ringlog show`: a name and a value each.
std::vector<std::pair<std::string, std::string>> surrounding_lines(const ProcessEntry& process,
                                                                   const std::string& run_dir);
// The settings that are not their defaults: name, value, origin.
std::vector<record::SettingFact> chosen_settings(const ProcessEntry& process);

Json json_of(const ProcessEntry& process);
// Of the run: commit, branch, remote, root, diff.  Null: no git.
Json git_json(const ProcessEntry& process, const std::string& run_dir);

}  // namespace ringlog::cli
