#pragma once
// Watching processes that are not our children, and learning how they ended.
//
// A pidfd becomes readable when the process is dead, however many forked workers still hold its
// sockets open, and death orders all its stores to shared memory.  How it ended is read, in this
// order, from
//   - /proc/<pid>/stat while it is a zombie (any kernel), and
//   - PIDFD_GET_INFO with PIDFD_INFO_EXIT once its parent has reaped it (Linux 6.15 and later; the
//     pidfd must have been opened while it lived).
//
// Plain functions without state; safe from any thread; nothing blocks.

#include "shm/posix.h"

#include <ringlog/result.h>

#include <cstdint>
#include <optional>

namespace ringlog::service {

struct ExitInfo {
  int32_t exit_code = 0;  // when signal is 0
  int32_t signal = 0;
};

// A pidfd of the process that had this pid and start time (0: any).
//   kNotFound  it is gone, reaped, or the pid belongs to another process now
//   kIo, kPermission  pidfd_open failed
Result<shm::Fd> open_pidfd(int32_t pid, uint64_t pid_start);

// True once the process is dead.
bool is_dead(int pidfd);

// How a dead process ended.  Nothing: not known (yet): the parent has not reaped it and /proc does
// not tell, or the kernel is too old.
std::optional<ExitInfo> exit_info(int pidfd, int32_t pid, uint64_t pid_start);

// How a process ended and what that makes of its producer.
struct End {
  const char* state = "crashed";  // of DESIGN 2.6
  int32_t exit_code = 0;
  int32_t signal = 0;
  const char* cause = "";  // a sentence for people; a constant
};

// What is known about an end besides what the producer wrote into its rings.
struct EndFacts {
  std::optional<int32_t> exit_word{};  // left in the segment by its exit handler, or said by socket
  std::optional<ExitInfo> kernel{};
  std::optional<End> forced{};  // the service ends it
  bool is_leaving = true;       // it will not even ask any more: its segment can go
};

// The producer's own word first (its Finish record, then its exit word), the kernel's last.
End decide_end(const std::optional<ExitInfo>& finish, const EndFacts& facts);

}  // namespace ringlog::service
