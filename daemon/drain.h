#pragma once
// Drain: the thread that reads all rings.
//
// Looks at every ring in turn, a bounded part of each; sleeps on the doorbell, at most 50 ms, when
// there is nothing to do, and no longer than its rings have room for at their pace (pace.h).  Its
// heartbeat in the doorbell page tells clients that the service lives.
//
// post(), stop() from any thread; everything else on the drain thread.

#include "daemon/clock.h"
#include "daemon/intake.h"
#include "daemon/pace.h"
#include "daemon/stream.h"
#include "daemon/writer.h"
#include "shm/posix.h"
#include "shm/segment.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace ringlog::service {

class Drain {
 public:
  Drain(shm::DoorbellPage& page, const Clock& clock)
      : page_(page), clock_(clock), pace_(shm::monotonic_ns()) {}
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;

  // Where due batches go; before run().
  using Submit = std::function<void(std::shared_ptr<Stream>, std::unique_ptr<Batch>)>;
  void on_due(Submit submit) { submit_ = std::move(submit); }

  // Runs `task` on the drain thread soon.
  void post(std::function<void()> task);

  // On the drain thread.
  void add(std::shared_ptr<Stream> stream) { streams_.push_back(std::move(stream)); }
  void remove(const std::shared_ptr<Stream>& stream) { std::erase(streams_, stream); }

  // The thread's body, until stop().
  void run();
  void stop();

 private:
  bool run_posted();
  void turn();
  bool is_pressed() const;
  void announce_sleep();
  std::chrono::nanoseconds sleep_time() const;

  shm::DoorbellPage& page_;
  const Clock& clock_;
  Submit submit_;
  std::atomic<bool> is_stopped_{false};

  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_

  // Drain thread.
  std::vector<std::shared_ptr<Stream>> streams_;
  Scratch scratch_;
  Pace pace_;
};

}  // namespace ringlog::service
