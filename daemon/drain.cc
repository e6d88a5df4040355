#include "daemon/drain.h"

#include "daemon/limits.h"
#include "shm/doorbell.h"

#include <algorithm>

namespace ringlog::service {

void Drain::post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
  }
  shm::ring_doorbell(page_);
}

void Drain::stop() {
  is_stopped_.store(true, std::memory_order_relaxed);
  shm::ring_doorbell(page_);
}

bool Drain::run_posted() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (const auto& task : tasks) task();
  return !tasks.empty();
}

void Drain::turn() {
  const int64_t now = clock_.monotonic_ms();
  for (const auto& stream : streams_) {
    stream->intake.turn(scratch_);
    if (auto batch = stream->intake.take_due(now)) submit_(stream, std::move(batch));
  }
}

bool Drain::is_pressed() const {
  return std::any_of(streams_.begin(), streams_.end(),
                     [](const auto& stream) { return stream->intake.is_pressed(); });
}

int64_t Drain::sleep_ms() const {
  int64_t due = std::numeric_limits<int64_t>::max();
  for (const auto& stream : streams_) due = std::min(due, stream->intake.due_ms());
  if (due == std::numeric_limits<int64_t>::max()) return shm::kServiceSleepMaxMs;
  return std::clamp<int64_t>(due - clock_.monotonic_ms(), 0, shm::kServiceSleepMaxMs);
}

void Drain::run() {
  while (!is_stopped_.load(std::memory_order_relaxed)) {
    page_.heartbeat_ms.store(shm::monotonic_coarse_ms(), std::memory_order_relaxed);
    run_posted();
    turn();
    if (is_pressed()) continue;
    // The sleep is announced before the last look, so whoever commits and rings after that look
    // finds us asleep; what was committed before it is drained by it.
    shm::announce_sleep(page_);
    const bool was_posted = run_posted();
    turn();
    const int64_t timeout_ms = sleep_ms();
    if (was_posted || is_pressed() || timeout_ms == 0) {
      shm::cancel_sleep(page_);
    } else {
      shm::sleep_on_doorbell(page_, std::chrono::milliseconds(timeout_ms));
    }
  }
}

}  // namespace ringlog::service
