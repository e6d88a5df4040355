#pragma once
// HeldMutex: a mutex of which each thread knows whether it may hold one.
//
// log() may run in a signal handler that interrupted this very thread while it held a lock of the
// library; there it must do without instead of waiting for ever.

#include <atomic>
#include <mutex>

namespace ringlog::client {

class HeldMutex {
 public:
  void lock() {
    enter();
    mutex_.lock();
  }
  bool try_lock() {
    enter();
    const bool is_locked = mutex_.try_lock();
    if (!is_locked) leave();
    return is_locked;
  }
  void unlock() {
    mutex_.unlock();
    leave();
  }
  // Whether the calling thread holds, is taking or is giving back any mutex of this kind.
  // ORDER held: a handler runs between two instructions of its thread and sees what that had done.
  static bool any_is_mine() { return t_held != 0; }

 private:
  // ORDER held: counted before the lock is taken and until it is given back, as the thread's own
  // signal handlers see it; no other thread reads the count.
  static void enter() {
    ++t_held;
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  static void leave() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    --t_held;
  }

  static inline thread_local int t_held = 0;
  std::mutex mutex_;
};

}  // namespace ringlog::client
