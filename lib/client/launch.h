#pragma once
// Finding the service, or starting it.
//
// The first client starts it: an flock on launch.lock elects one, posix_spawn starts `ringlogd` in
// a session of its own, readiness comes through an inherited pipe.  There is no fork() of the
// user's process.  Safe from any thread; in a process, calls are rare and may run at the same time.

#include "client/control_client.h"

#include <ringlog/result.h>

#include <chrono>
#include <memory>
#include <string>

namespace ringlog::client {

// Connects to the service of `runtime_dir`, starting it if nobody listens.  Waits at most
// `timeout`.
//   kPermission   the directory or the service belongs to somebody else
//   kServiceGone  it cannot be started; the message says what was tried
Result<std::unique_ptr<ControlClient>> connect_or_launch(const std::string& runtime_dir,
                                                         std::chrono::milliseconds timeout);

// Starts the service without waiting for it, if nobody else is doing so right now.  For callers
// that must not block; the service itself sees to it that there is only one.
Status launch_in_background(const std::string& runtime_dir);

// Folder of the file that this code was loaded from: the shared library, or the executable.  Empty:
// it cannot be told.
std::string own_directory();

// The program: $RINGLOG_SERVICE, else `ringlogd` beside this library (…/bin), beside the running
// executable, in the install prefix, on the PATH.
//   kNotFound  names every place that was tried
Result<std::string> find_service_program();

}  // namespace ringlog::client
