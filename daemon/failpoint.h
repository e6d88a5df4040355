#pragma once
// Failpoints: named places where a test kills the service.
//
// RINGLOG_FAILPOINT("name") does nothing in a build without RINGLOG_FAILPOINTS.  With it, a process
// started with RINGLOG_FAILPOINT=name (or name:n) kills itself with SIGKILL when it comes to that
// place for the first (the n-th) time.  Safe from any thread.

namespace ringlog::service {

void reach_failpoint(const char* name);

}  // namespace ringlog::service

#ifdef RINGLOG_FAILPOINTS
#define RINGLOG_FAILPOINT(name) ::ringlog::service::reach_failpoint(name)
#else
#define RINGLOG_FAILPOINT(name) static_cast<void>(0)
#endif
