#pragma once
// Where services inside programs live: `<runtime directory>/in-process/<pid>-<start time>`, each a
// runtime directory of its own (daemon/runtime_dir.h) named after its program.
//
// Plain functions; safe from any thread.

#include <string>
#include <vector>

namespace ringlog::shm {

// The folder that holds them, below the runtime directory of the user.
std::string in_process_folder(const std::string& runtime_dir);
// The calling process's.
std::string in_process_dir(const std::string& runtime_dir);
// All that are there, of running programs and of ended ones, in order of their names.  Empty: none,
// or no folder.
std::vector<std::string> list_in_process_dirs(const std::string& folder);
// True while the program that `dir` is named after runs; not of a zombie.
bool is_owner_running(const std::string& dir);

}  // namespace ringlog::shm
