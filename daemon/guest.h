#pragma once
// Guest: a service that lives in the process of a program that logs.
//
//   auto guest = Guest::start("/dev/shm/ringlog-0/in-process/17-4711");
//   (*guest)->stop();
//
// All that ringlogd does in a process of its own is done on threads here, and nothing of the
// program is touched: signals are blocked in these threads, standard descriptors are theirs alone.
// They have a descriptor table of their own (close_range with CLOSE_RANGE_UNSHARE, Linux 5.9), so
// that a forked child inherits neither lock nor socket, a program that closes everything closes
// nothing of ours, and what the program closes is closed.
//
// One at a time in a process.  start() and stop() from any thread, one call at a time.

#include <ringlog/result.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace ringlog::service {

class Service;

class Guest {
 public:
  // Returns when the service listens in `runtime_dir`, which is created if need be.
  //   kIo          a system call fails: an old kernel, a sandbox, a full disk, no more threads
  //   kPermission  the directory is not ours alone
  //   otherwise    as Service::start()
  static Result<std::unique_ptr<Guest>> start(const std::string& runtime_dir);
  // stop()
  ~Guest();
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  // Stores what is committed, ends the service and removes its directory, unless processes that
  // live on have segments there.  Waits kShutdownWaitMs at most for the disk.
  void stop();

 private:
  explicit Guest(std::string runtime_dir) : runtime_dir_(std::move(runtime_dir)) {}
  // On the host thread.
  void run();
  Status serve();
  Status run_until_stopped(Service& service);
  void tell(Status started);

  const std::string runtime_dir_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::unique_ptr<Status> started_;
  bool is_stop_asked_ = false;
  bool is_done_ = false;
};

}  // namespace ringlog::service
