#pragma once
// Threads of the service.
//
// There may be no more of them: the cgroup has a pids.max, the user an RLIMIT_NPROC, memory an end.
// The standard library throws then, in the middle of whatever wanted one.
//
// Plain function; any thread.

#include <ringlog/result.h>

#include <functional>
#include <thread>

namespace ringlog::service {

// Runs `body` on a thread of its own.  `name`, of 15 bytes at most, is for people who look at the
// process with top or a debugger.
//   kIo  there may be no more threads; the message names this one
Result<std::jthread> start_thread(const char* name, std::function<void()> body);

}  // namespace ringlog::service
