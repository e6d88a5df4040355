#pragma once
// The doorbell: how producers wake the service.
//
// One futex word per service, shared by all its clients: 0 = awake, 1 = asleep.
//
//   producer                              service
//                                         wake_at = a position, for each ring
//   tail.store(…, release)                asleep = 1
//   fence(seq_cst)                        fence(seq_cst)
//   if (asleep) { asleep = 0; wake }      re-read all tails; if there is work: asleep = 0, drain
//                                         else FUTEX_WAIT(asleep, 1, at most 50 ms); asleep = 0
//
// With a full fence on both sides at least one of them sees the other; a fence on one side only
// loses wake-ups, on x86 too.  The ringer changes the word before it wakes, so a service between
// its last look and its sleep returns at once.  What could still be missed costs one 50 ms sleep.
//
// A ring that fills tells of it at its marks, and only from `wake_at` on: a service that knows how
// fast its rings fill comes back by its own timer and says with wake_at that it need not be called
// before.  So a producer at a steady rate makes no system call, and a burst is still answered at
// once.  Whatever an explicit ring is for does not look at wake_at.

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

// The producer of a ring, whose tail it has just stored; nothing if the service will come in time.
inline void ring_doorbell_at(DoorbellPage& page, uint64_t tail, const RingConsumer& consumer) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  // ORDER doorbell: if the service's last look missed our tail, the two fences show us the wake_at
  // it stored before that look.  An older one was for an earlier sleep.
  if (tail >= consumer.wake_at.load(std::memory_order_relaxed)) ring_doorbell(page);
}

// The service's drain thread, for each ring before announce_sleep(): marks below `position` do not
// ring.  At most half a ring ahead of what was read, or a burst finds the ring full.
inline void wake_at(RingConsumer& consumer, uint64_t position) {
  // The line is the producer's too: not written for rings in which nothing happens.
  if (consumer.wake_at.load(std::memory_order_relaxed) == position) return;
  // ORDER doorbell: stored before the fence of announce_sleep(); pairs with ring_doorbell_at().
  consumer.wake_at.store(position, std::memory_order_relaxed);
}

// The service's drain thread, before its last look at the tails.
inline void announce_sleep(DoorbellPage& page) {
  // ORDER doorbell: stored before the tails are read again; pairs with ring_doorbell().
  page.asleep.store(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

// After announce_sleep(), when there was nothing to do.  False: nobody rang.
inline bool sleep_on_doorbell(DoorbellPage& page, std::chrono::nanoseconds timeout) {
  futex_wait(page.asleep, 1, timeout);
  // A hint for the caller only; what the ringer stored is found by looking at the tails.
  const bool was_rung = page.asleep.load(std::memory_order_relaxed) == 0;
  page.asleep.store(0, std::memory_order_relaxed);
  return was_rung;
}

// After announce_sleep(), when there was work after all.
inline void cancel_sleep(DoorbellPage& page) { page.asleep.store(0, std::memory_order_relaxed); }

}  // namespace ringlog::shm
