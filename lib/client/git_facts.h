#pragma once
// Git: which commit a directory is at, read from the files of its repository.
//
// No program is run and nothing is locked; a dozen small files are read.  Plain function; safe from
// any thread.

#include <string>

#include "record/process_facts.h"

namespace ringlog::client {

// The work tree that `directory` is in, linked ones and submodules too; all empty: in none, or its
// files cannot be read.
record::GitFacts read_git(const std::string& directory);

}  // namespace ringlog::client
