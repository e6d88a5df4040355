#pragma once
// What can be wrong with a machine or with a run, and how to mend it.
//
// Each check appends findings: one that is well says what was found, one that is not says what,
// where and how to mend it.  Nothing is changed and nothing is started.  One thread.

#include <string>
#include <vector>

#include "cli/context.h"

namespace ringlog::cli {

enum class Health { kOk, kWarn, kFail };

struct Finding {
  Health health = Health::kOk;
  std::string check;   // a few words: "runtime directory"
  std::string text;    // what was found, and where
  std::string remedy;  // what to do; empty when it is well
};
using Findings = std::vector<Finding>;

// The runtime directory: owner, mode, filesystem, room, length of the socket's path, what dead
// processes left there, and what the login manager may do to it.
void check_runtime_dir(Findings& findings);
// Limits of this process and what the kernel can do.
void check_system(Findings& findings);
// The service's program, the running service and its version.
void check_service(Findings& findings);
// The folder that holds the runs, and its locks.
void check_root(const std::string& root, Findings& findings);
// Whether the file system of a folder keeps two services from writing one store.
void check_locks(const std::string& folder, Findings& findings);
// One run: its store, its rings, what was kept aside of them.
void check_run(const Context& context, const std::string& name, Findings& findings);

}  // namespace ringlog::cli
