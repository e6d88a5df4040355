#pragma once
// The runtime directory: where clients find the service of this user.
//
//   service.lock   held with flock for the service's life: the election
//   service.sock   control socket
//   doorbell       shm::Doorbell; outlives the service
//   service.log    rotating
//   segments/      one file per attached process, unless the directory is not on tmpfs
//
// Used by main() before any thread exists.

#include "shm/posix.h"

#include <ringlog/result.h>

#include <optional>
#include <string>

namespace ringlog::service {

struct RuntimeDir {
  std::string path;
  shm::Fd dir;              // for names relative to it, whatever the path's length
  shm::Fd lock;             // held
  std::string segment_dir;  // mode 0700, on tmpfs if there is one
  std::string notice;       // why segments are not on tmpfs; empty otherwise
};

// Checks or creates the directory and takes the lock.  Nothing: another service lives there.
//   kPermission  owner or mode is wrong; the message says how to mend it
//   kIo          it cannot be created or locked
// Waits kLockWaitMs at most, for a service that is just exiting.
Result<std::optional<RuntimeDir>> claim_runtime_dir(const std::string& path);

}  // namespace ringlog::service
