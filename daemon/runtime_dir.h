#pragma once
// The runtime directory: where clients find the service of this user.
//
//   service.lock   held with flock for the service's life: the election
//   service.sock   control socket
//   doorbell       shm::Doorbell; outlives the service
//   service.log    rotating
//   live/          one page per open run: its summary (shm/live_page.h)
//   segments/      one file per attached process, unless the directory is not on tmpfs
//   in-process/    runtime directories of services inside programs (shm/in_process_dir.h)
//
// Segments for which the tmpfs has no room are in a folder on disk, /var/tmp/ringlog-<uid>-<hash>.
//
// Used by main() before any thread exists, or by the control thread.

#include "shm/posix.h"
#include "shm/segment.h"

#include <ringlog/result.h>

#include <optional>
#include <string>

namespace ringlog::service {

struct RuntimeDir {
  std::string path;
  shm::Fd dir;                  // for names relative to it, whatever the path's length
  shm::Fd lock;                 // held
  shm::SegmentPlaces segments;  // `directory` exists, mode 0700; `overflow` need not
  std::string in_process;       // folder of services inside programs, ours perhaps; need not exist
  std::string notice;           // why segments are not on tmpfs; empty otherwise
};

// Checks or creates the directory and takes the lock.  Nothing: another service lives there.
//   kPermission  owner or mode is wrong; the message says how to mend it
//   kIo          it cannot be created or locked
// Waits kLockWaitMs at most, for a service that is just exiting.
Result<std::optional<RuntimeDir>> claim_runtime_dir(const std::string& path);

// Takes the lock of an existing directory that nobody lives in.  Nothing: somebody does, or it is
// not one.  Its segments are where choose_segment_dirs() put them.
std::optional<RuntimeDir> lock_left_dir(const std::string& path);

// Removes the directory with all that a service makes, unless a segment is left.  While its lock is
// held.
void remove_runtime_dir(const RuntimeDir& place);

// Removes the folders of segments that are outside the runtime directory and empty.  For a service
// that ends, while it holds the lock.
void tidy_segment_dirs(const RuntimeDir& place);

}  // namespace ringlog::service
