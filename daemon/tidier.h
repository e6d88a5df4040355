#pragma once
// Tidier: closes the stores of runs that nobody logs to any more, and leaves them small.
//
// A store that is written in small commits holds each row more than once until LevelDB happens to
// compact it, which a run that has ended would wait for in vain.  LevelDB does that work in a
// thread of its own; this one only waits for it, for up to a second, so that no other run has to.
//
// close() and stop() from any thread; the rest on the tidier's thread.

#include "daemon/task_queue.h"
#include "store/store.h"

#include <atomic>
#include <functional>
#include <memory>

namespace ringlog::service {

class Tidier {
 public:
  Tidier() = default;
  Tidier(const Tidier&) = delete;
  Tidier& operator=(const Tidier&) = delete;

  // Takes the store, which nobody else uses; `done` runs on the tidier's thread once it is closed.
  void close(std::unique_ptr<store::Store> store, std::function<void()> done);

  // The thread's body, until stop(): stores that still wait are then closed as they are.
  void run();
  void stop();

 private:
  TaskQueue queue_;
  std::atomic<bool> is_stopping_{false};  // a flag by itself, it publishes nothing
};

}  // namespace ringlog::service
