#pragma once
// Who is at the other end of a connection, and what this process is like: asked of the kernel.
//
// Plain functions; safe from any thread.  Nothing blocks.

#include "daemon/run_spec.h"

#include <cstdint>

namespace ringlog::service {

// The process that connected the Unix socket `fd`; what the kernel does not tell stays zero.
Peer peer_of(int fd);

// What this process takes of the machine; zeros where the kernel does not say.
struct OwnUse {
  uint64_t cpu_ns = 0;        // processor time since it started
  uint64_t memory_bytes = 0;  // resident and its own: no files, no rings
  uint32_t threads = 0;
};
OwnUse own_use();

}  // namespace ringlog::service
