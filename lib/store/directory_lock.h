#pragma once
// DirectoryLock: one writer per store, by flock(2) on its folder.  Internal to lib/store.
//
// LevelDB's own lock is not enough: a second attempt inside one process fails, but on its way out
// drops the first one's lock, because it closes a descriptor of the same file.
//
// Released when destroyed or when the process ends.  Owned by one thread.

#include <ringlog/result.h>

#include <memory>
#include <string>

namespace ringlog::store {

class DirectoryLock {
 public:
  // Makes `dir` and the folders above it (mode 0700) when `create`, then locks it, waiting at most
  // kLockWaitMs.
  //   kNotFound         there is no such folder
  //   kIo               it cannot be made, or somebody has it locked; the message names the process
  //   kPermission       it cannot be made or opened
  static Result<std::unique_ptr<DirectoryLock>> take(const std::string& dir, bool create);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace ringlog::store
