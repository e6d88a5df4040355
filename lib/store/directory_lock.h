#pragma once
// DirectoryLock: one writer per store, by flock(2) on its folder and, where that may not reach
// everybody, by a claim besides.  Internal to lib/store.
//
// A file system without flock is refused: LevelDB could not be kept from a second writer.  One that
// is shared with other machines, or that grants a lock twice, is used with a WriterClaim, and
// weakness() says so.
//
// LevelDB's own lock is not enough: a second attempt inside one process fails, but on its way out
// drops the first one's lock, because it closes a descriptor of the same file.
//
// Released when destroyed or when the process ends.  Owned by one thread.

#include <ringlog/result.h>

#include <memory>
#include <string>

#include "store/writer_claim.h"

namespace ringlog::store {

class DirectoryLock {
 public:
  // Makes `dir` and the folders above it (mode 0700) when `create`, then locks it, waiting at most
  // kLockWaitMs.
  //   kNotFound         there is no such folder
  //   kIo               it cannot be made, somebody has it locked (the message names the process),
  //                     or its file system has no locks
  //   kPermission       it cannot be made or opened
  static Result<std::unique_ptr<DirectoryLock>> take(const std::string& dir, bool create);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

  // Why the lock alone may not keep others out: a clause for people.  Empty: it does.
  const std::string& weakness() const { return weakness_; }
  // To be called before each write, by one thread at a time: kIo when somebody else has the store
  // now.  `always`: look, however short ago it was renewed.  Costs nothing where the lock is
  // enough.
  Status renew(bool always) { return claim_ == nullptr ? Status(Done{}) : claim_->renew(always); }

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}
  const int fd_;
  std::string weakness_;
  std::unique_ptr<WriterClaim> claim_;  // null where the lock is enough
};

}  // namespace ringlog::store
