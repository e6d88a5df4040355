#pragma once
// The doorbell: how producers wake the service.
//
// One futex word per service, shared by all its clients: 0 = awake, 1 = asleep.
//
//   producer                              service
//   tail.store(…, release)                asleep = 1
//   fence(seq_cst)                        fence(seq_cst)
//   if (asleep) { asleep = 0; wake }      re-read all tails; if there is work: asleep = 0, drain
//                                         else FUTEX_WAIT(asleep, 1, at most 50 ms); asleep = 0
//
// With a full fence on both sides at least one of them sees the other; a fence on one side only
// loses wake-ups, on x86 too.  The ringer changes the word before it wakes, so a service between
// its last look and its sleep returns at once.  What could still be missed costs one 50 ms sleep.

#include "shm/futex.h"
#include "shm/layout.h"

#include <atomic>
#include <chrono>

namespace ringlog::shm {

// Any thread of any process.  The caller has stored what it rings for.
inline void ring_doorbell(DoorbellPage& page) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  // ORDER doorbell: the fence above and the one in announce_sleep() order this load after our tail.
  if (page.asleep.load(std::memory_order_relaxed) == 0) return;
  page.asleep.store(0, std::memory_order_relaxed);
  futex_wake_all(page.asleep);
}

// The service's drain thread, before its last look at the tails.
inline void announce_sleep(DoorbellPage& page) {
  // ORDER doorbell: stored before the tails are read again; pairs with ring_doorbell().
  page.asleep.store(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

// After announce_sleep(), when there was nothing to do.
inline void sleep_on_doorbell(DoorbellPage& page, std::chrono::nanoseconds timeout) {
  futex_wait(page.asleep, 1, timeout);
  page.asleep.store(0, std::memory_order_relaxed);
}

// After announce_sleep(), when there was work after all.
inline void cancel_sleep(DoorbellPage& page) { page.asleep.store(0, std::memory_order_relaxed); }

}  // namespace ringlog::shm
