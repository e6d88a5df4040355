#pragma once
// What happens to a whole process: exit and fork.  The library's only process-wide state.
//
// The first run registers an on_exit handler, which learns the exit status, and pthread_atfork
// handlers, which hold every run's locks across fork() so that the child finds them whole.

#include <memory>

namespace ringlog::detail {
class RunCore;
}

namespace ringlog::client {

// Any thread.  The run is forgotten when it is destroyed.
void watch_process_events(const std::shared_ptr<detail::RunCore>& run);

// Exit handlers and the destructors of statics run in the opposite order of their registration, so
// a `static Run run = init();` is destroyed before a handler that init() registered.  One that is
// registered when the run is first used comes in time.  Called once a run.
void watch_exit_again();

// For a process that has a service inside: at its exit runs are finished and the service is stopped
// while what the service uses still exists.  Called when it was started; any number of times.
void watch_exit_with_service();

}  // namespace ringlog::client
