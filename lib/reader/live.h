#pragma once
// Before a run is looked at: the service is asked to store what was committed.
//
// Plain function; any thread.

#include <string>

namespace ringlog::reader {

// Waits at most half a second.  Failing is no error: the store can be read whatever the service
// does.
void ask_to_store(const std::string& run_id);

}  // namespace ringlog::reader
