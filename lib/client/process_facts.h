#pragma once
// What surrounds this process: collected once, at init(), for its first record.
//
// Reads some twenty small files of /proc and of the git repository; runs no program, asks no name
// service, takes no lock.  Not to be called while another thread changes the environment.

#include "client/settings_layers.h"
#include "record/process_facts.h"

namespace ringlog::client {

// With `surroundings` off only the settings.  What cannot be read is empty.
record::ProcessFacts process_facts(const ResolvedSettings& settings);

// The work tree whose diff the service shall keep; "": none.
std::string diffed_work_tree(const ResolvedSettings& settings);

// The process's command line without secrets.
std::vector<std::string> command_line();

// Every setting with its value and where it came from.
std::vector<record::SettingFact> setting_facts(const ResolvedSettings& settings);

}  // namespace ringlog::client
