#include "daemon/task_queue.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>

namespace ringlog::service {

void TaskQueue::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  changed_.notify_one();
  wake_();
}

void TaskQueue::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
  }
  changed_.notify_one();
  wake_();
}

void TaskQueue::wait(int64_t now_ms, int64_t deadline_ms) {
  std::unique_lock lock(mutex_);
  const auto is_ready = [this] { return is_stopped_ || !tasks_.empty(); };
  // Longer waits gain nothing, and a far deadline would overflow the clock's arithmetic.
  constexpr int64_t kWaitMaxMs = 60'000;
  const int64_t wait_ms = std::clamp<int64_t>(deadline_ms - now_ms, 0, kWaitMaxMs);
  changed_.wait_for(lock, std::chrono::milliseconds(deadline_ms <= now_ms ? 0 : wait_ms), is_ready);
}

bool TaskQueue::run() {
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
  }
  for (const Task& task : tasks) task();
  // Not as it was before they ran: a thread with a sleep of its own is woken once for a task and a
  // stop that come together.
  const std::lock_guard lock(mutex_);
  return !(is_stopped_ && tasks_.empty());
}

}  // namespace ringlog::service
