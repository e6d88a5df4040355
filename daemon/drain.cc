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
  double peak = 0;
  const int64_t start_ns = shm::monotonic_ns();
  for (const auto& stream : streams_) {
    stream->intake.turn(scratch_);
    peak = std::max(peak, stream->intake.peak());
    if (auto batch = stream->intake.take_due(now)) submit_(stream, std::move(batch));
    stream->intake.publish_summary();
  }
  pace_.saw(peak, start_ns);
}

bool Drain::is_pressed() const {
  return std::any_of(streams_.begin(), streams_.end(),
                     [](const auto& stream) { return stream->intake.is_pressed(); });
}

// The sleep is announced before the last look, so whoever commits and rings after that look finds
// us asleep; what was committed before it is drained by it.
void Drain::announce_sleep() {
  for (const auto& stream : streams_) stream->intake.set_wake_part(pace_.wake_part());
  shm::announce_sleep(page_);
}

// Until a ring may be filling up or a batch is due.
std::chrono::nanoseconds Drain::sleep_time() const {
  int64_t due = std::numeric_limits<int64_t>::max();
  for (const auto& stream : streams_) due = std::min(due, stream->intake.due_ms());
  int64_t sleep_ms = shm::kServiceSleepMaxMs;
  if (due != std::numeric_limits<int64_t>::max()) {
    sleep_ms = std::clamp<int64_t>(due - clock_.monotonic_ms(), 0, shm::kServiceSleepMaxMs);
  }
  return std::min<std::chrono::nanoseconds>(std::chrono::milliseconds(sleep_ms),
                                            std::chrono::nanoseconds(pace_.rest_ns()));
}

// Whoever logs much or has just been answered need not ring while we look once before the sleep is
// announced.  When nothing happens, the one look that has to follow the announcement is enough:
// what a service with silent ranks costs is its looks.
void Drain::run() {
  bool was_rung = true;
  while (!is_stopped_.load(std::memory_order_relaxed)) {
    page_.heartbeat_ms.store(shm::monotonic_coarse_ms(), std::memory_order_relaxed);
    if (was_rung || !pace_.is_calm()) {
      run_posted();
      turn();
      if (is_pressed()) continue;
    }
    announce_sleep();
    const bool was_posted = run_posted();
    turn();
    const std::chrono::nanoseconds sleep = sleep_time();
    if (was_posted || is_pressed() || sleep.count() == 0) {
      shm::cancel_sleep(page_);
      was_rung = true;
    } else {
      was_rung = shm::sleep_on_doorbell(page_, sleep);
    }
  }
}

}  // namespace ringlog::service
