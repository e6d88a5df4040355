#pragma once
// When a store was last written, by which people sort their runs.  Internal to lib/store.
//
// It is what the file system says of the store's folder and log.  A store that was opened only to
// be forwarded keeps it, though the watermarks of its sinks were written: set_written_ns().
//
// Plain functions; safe from any thread.

#include <cstdint>
#include <string>

namespace ringlog::store {

// Nanoseconds since the Unix epoch; 0: there is no such folder.
int64_t written_ns(const std::string& store_dir);
// Gives folder and log that time.  A file system that does not let us keeps its own.
void set_written_ns(const std::string& store_dir, int64_t time_ns);

}  // namespace ringlog::store
