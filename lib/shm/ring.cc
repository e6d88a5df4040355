#include "shm/ring.h"

#include "shm/failpoint.h"
#include "shm/posix.h"

#include <algorithm>

namespace ringlog::shm {

RingWriter::RingWriter(RingProducer& producer, const RingConsumer& consumer, std::byte* data,
                       uint64_t capacity, DoorbellPage& doorbell)
    : producer_(producer),
      consumer_(consumer),
      data_(data),
      capacity_(capacity),
      mask_(capacity - 1),
      doorbell_(doorbell),
      // ORDER tail: our own word, or that of the thread this ring was handed over from.
      position_(producer.tail.load(std::memory_order_relaxed)),
      // ORDER head: only a lower bound is needed here; refresh_head() takes part in the protocol.
      head_cached_(consumer.head.load(std::memory_order_relaxed)),
      next_mark_((position_ / (capacity / kMarksPerRing) + 1) * (capacity / kMarksPerRing)) {
  producer_.in_use.store(1, std::memory_order_relaxed);
}

bool RingWriter::refresh_head(uint32_t bytes) {
  // ORDER head: the bytes before head were read; pairs with the release in give_back().
  head_cached_ = consumer_.head.load(std::memory_order_acquire);
  return position_ + bytes - head_cached_ <= capacity_;
}

void RingWriter::cross_mark() {
  const uint64_t step = capacity_ / kMarksPerRing;
  next_mark_ = (position_ / step + 1) * step;
  RINGLOG_FAILPOINT("before_mark");
  ring_doorbell_at(doorbell_, position_, consumer_);
}

std::byte* RingWriter::wait_reserve(uint32_t bytes, std::chrono::nanoseconds timeout) {
  const int64_t start = monotonic_ns();
  const int64_t deadline = deadline_ns(start, timeout);
  bool has_room = refresh_head(bytes);
  while (!has_room) {
    const int64_t left = deadline - monotonic_ns();
    if (left <= 0) break;
    const uint32_t room = consumer_.room.load(std::memory_order_acquire);
    // ORDER room: we store waiting, fence, read head; the service stores head, fences, reads
    // waiting (give_back()).  At least one of us sees the other.
    producer_.waiting.store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    has_room = refresh_head(bytes);
    if (has_room) break;
    RINGLOG_FAILPOINT("before_wait");
    ring_doorbell(doorbell_);
    // In slices, so that a service that died without a wake costs one slice at most.
    constexpr int64_t kSliceNs = 100'000'000;
    futex_wait(consumer_.room, room, std::chrono::nanoseconds(std::min(left, kSliceNs)));
    has_room = refresh_head(bytes);
  }
  RINGLOG_FAILPOINT("after_wait");
  producer_.waiting.store(0, std::memory_order_relaxed);
  producer_.blocked_ns.fetch_add(static_cast<uint64_t>(monotonic_ns() - start),
                                 std::memory_order_relaxed);
  return has_room ? data_ + (position_ & mask_) : nullptr;
}

void RingWriter::count_drop() {
  // Only this thread writes these words, so plain loads and stores would do; the service may read
  // one before the other.  ORDER drop: attempted is stored last, so dropped >= what it implies.
  producer_.dropped_rows.store(producer_.dropped_rows.load(std::memory_order_relaxed) + 1,
                               std::memory_order_relaxed);
  RINGLOG_FAILPOINT("in_count_drop");
  producer_.attempted_rows.store(next_seq_, std::memory_order_release);
}

void RingWriter::tell_attempts() {
  // ORDER drop: as in count_drop(), behind the drops that it implies.
  producer_.attempted_rows.store(next_seq_, std::memory_order_release);
}

void RingWriter::take_back_drop() {
  // ORDER drop: after the release of the tail, so whoever sees the lower count sees the row.
  producer_.dropped_rows.store(producer_.dropped_rows.load(std::memory_order_relaxed) - 1,
                               std::memory_order_release);
}

}  // namespace ringlog::shm
