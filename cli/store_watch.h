#pragma once
// StoreWatch: waits until a run's store changes, for commands that follow a run.
//
// A resource of one thread.

#include <string>

#include "shm/posix.h"

namespace ringlog::cli {

class StoreWatch {
 public:
  // `dir` is the run's.  Without a watch (too many of them) the timed looks remain.
  explicit StoreWatch(const std::string& dir);

  // Sleeps until the store changes, at least a quarter of a second, because a look costs some
  // milliseconds, and at most one.  False when nobody reads our standard output any more.
  bool wait();

 private:
  shm::Fd watch_;
};

}  // namespace ringlog::cli
