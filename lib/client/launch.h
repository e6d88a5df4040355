#pragma once
// Finding the service, or starting it.
//
// The first client starts it: an flock on launch.lock elects one, posix_spawn starts `ringlogd` in
// a session of its own, readiness comes through an inherited pipe.  There is no fork() of the
// user's process.  Safe from any thread; in a process, calls are rare and may run at the same time.

#include "client/control_client.h"
#include "shm/spawn.h"

#include <ringlog/result.h>
#include <sys/un.h>

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

// Starts the service again without waiting for it.  For log(), which may find that it is gone:
// everything is prepared, so that start() allocates nothing, takes no lock of this process, and may
// be called in a signal handler whatever it interrupted.  By one thread at a time.
class BackgroundLaunch {
 public:
  // Where no program is found start() does nothing.
  explicit BackgroundLaunch(const std::string& runtime_dir);
  // Unless somebody listens, or is starting it right now; the service itself sees to it that there
  // is only one.  Blocks no longer than starting a process takes.
  void start() noexcept;

 private:
  bool is_answered() const noexcept;

  const std::string lock_path_;
  sockaddr_un address_{};  // of its socket; without a path where that is too long
  shm::Spawn spawn_;
  bool has_program_ = false;
};

// Folder of the file that this code was loaded from: the shared library, or the executable.  Empty:
// it cannot be told.
std::string own_directory();

// The program: $RINGLOG_SERVICE, else `ringlogd` beside this library (…/bin), beside the running
// executable, in the install prefix, on the PATH.
//   kNotFound  names every place that was tried
Result<std::string> find_service_program();

}  // namespace ringlog::client
