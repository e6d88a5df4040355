#pragma once
// Survives SIGBUS on registered shared mappings: the service maps control pages and rings of files
// that user processes could truncate, and must not die of it.
//
// The handler puts a zero page in place of the one that faulted and marks the range broken; who
// reads sees zeros and then the mark: control pages poison their segment, a copy out of a ring
// fails (guarded_mapping.h).  Faults anywhere else go to the handler that was there before.  Used
// by the service only.

#include <cstddef>
#include <cstdint>

namespace ringlog::shm {

// Installs the handler once per process.  Any thread.
void install_sigbus_guard();

// Registers a mapping; returns an index for the other calls, or -1 when the table
// (kGuardedRangesMax) is full, in which case the mapping is simply not guarded.
int guard_range(void* address, size_t size);
void unguard_range(int index);
bool is_range_broken(int index);
// How many times a page was replaced so far, in any range: while it stays the same, no range has
// become broken.
uint64_t broken_pages();

}  // namespace ringlog::shm
