#pragma once
// A service inside this process, for tests and sandboxes: the setting `in_process`.
//
// It is ringlogd's code on threads of this process.  Runs reach it through a runtime directory of
// its own as they reach ringlogd, and so do forked children.  One serves all runs of the process;
// it ends with the last of them, and at the latest when the process exits.
//
// A forked child never has one of its own, because LevelDB's thread does not exist there: it shares
// the one of the process that has it, and where that is gone, starts ringlogd in its place.

#include <ringlog/result.h>

#include <memory>
#include <string>

namespace ringlog::client {

// A share in the service of this process.  Any thread.
class InProcess {
 public:
  // Starts the service if there is none.
  //   kNotFound  the module libringlog_in_process.so is nowhere; the message names the places
  //   kVersion   it is of another version
  //   kIo, kPermission, kServiceGone  it cannot start; the message says why
  static Result<std::shared_ptr<InProcess>> share();
  // The last share stores what is committed and ends the threads; nothing in a forked child.
  ~InProcess();
  InProcess(const InProcess&) = delete;
  InProcess& operator=(const InProcess&) = delete;

  // Where the service is found.
  const std::string& runtime_dir() const { return runtime_dir_; }

  // True while there is one in this very process.
  static bool is_here();
  // For the end of the process: what the last share does, whoever still has one.
  static void stop();
  // Around fork(): the lock is held, so that the child finds the state whole.
  static void before_fork();
  static void after_fork(bool is_child);

 private:
  explicit InProcess(std::string runtime_dir) : runtime_dir_(std::move(runtime_dir)) {}

  const std::string runtime_dir_;
};

}  // namespace ringlog::client
