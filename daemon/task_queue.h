#pragma once
// TaskQueue: how one thread gives another something to do.
//
// post() from any thread; everything else from the thread that runs the tasks.  Guarded by one
// mutex. Tasks run in the order they were posted.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace ringlog::service {

class TaskQueue {
 public:
  using Task = std::function<void()>;

  // `wake` ends the sleep of a thread that does not use wait(); called after each post() and
  // stop(), from their thread.
  explicit TaskQueue(std::function<void()> wake = [] {}) : wake_(std::move(wake)) {}

  void post(Task task);
  // Ends wait() for good once what was posted before has run.
  void stop();

  // Sleeps until there is a task, at most until the monotonic time `deadline_ms`.
  void wait(int64_t now_ms, int64_t deadline_ms);
  // Runs what is there.  False: stopped, and nothing is left.
  bool run();

 private:
  const std::function<void()> wake_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::vector<Task> tasks_;
  bool is_stopped_ = false;
};

}  // namespace ringlog::service
