#pragma once
// OwnedMutex: a mutex that knows whether the calling thread holds it.
//
// log() may run in a signal handler that interrupted this very thread while it held the lock; there
// it must do without instead of waiting for ever.

#include <atomic>
#include <mutex>
#include <thread>

namespace ringlog::client {

class OwnedMutex {
 public:
  void lock() {
    mutex_.lock();
    owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  }
  void unlock() {
    owner_.store({}, std::memory_order_relaxed);
    mutex_.unlock();
  }
  // Only this thread writes its own id, so its answer is never stale.
  bool is_mine() const {
    return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

 private:
  std::mutex mutex_;
  std::atomic<std::thread::id> owner_{};
};

}  // namespace ringlog::client
