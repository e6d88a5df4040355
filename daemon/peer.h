#pragma once
// Who is at the other end of a connection, and what this process is like: asked of the kernel.
//
// Plain functions; safe from any thread.  Nothing blocks.

#include "daemon/run_spec.h"

#include <cstdint>

namespace ringlog::service {

// The process that connected the Unix socket `fd`; what the kernel does not tell stays zero.
Peer peer_of(int fd);
// Threads of this process.
uint32_t thread_count();

}  // namespace ringlog::service
