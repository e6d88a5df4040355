#pragma once
// Failpoints: named places where a test kills the process, a producer or the service.
//
// RINGLOG_FAILPOINT("name") does nothing in a build without RINGLOG_FAILPOINTS.  With it, a process
// started with RINGLOG_FAILPOINT=name (or name:n) kills itself with SIGKILL when it comes to that
// place for the first (the n-th) time; a forked child goes on counting where its parent was.  Safe
// from any thread and in a signal handler.  Only on slow paths: a row that is logged passes none,
// so that what is measured is what is used; tests/client kill that path between any two
// instructions instead.

namespace ringlog::shm {

void reach_failpoint(const char* name);

}  // namespace ringlog::shm

#ifdef RINGLOG_FAILPOINTS
#define RINGLOG_FAILPOINT(name) ::ringlog::shm::reach_failpoint(name)
#else
#define RINGLOG_FAILPOINT(name) static_cast<void>(0)
#endif
