#pragma once
// Surroundings: what surrounds the processes of a run, for the commands that tell it.
//
// Plain functions of their arguments; safe from any thread.

#include <ringlog/result.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/json.h"
#include "record/process_facts.h"
#include "store/reader.h"

namespace ringlog::cli {

struct ProcessEntry {
  store::ProducerState producer;
  record::ProcessFacts facts;
};

// Of every process that said it, ordered as producers are.
Result<std::vector<ProcessEntry>> read_processes(store::RunReader& reader);

// The process that stands for the run: the newest attempt of the lowest rank, a program before
// `ringlog exec` around it.  nullptr: there is none.
const ProcessEntry* main_process(const std::vector<ProcessEntry>& processes);

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
