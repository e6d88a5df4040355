#pragma once
// The ideal ring, to measure others against: one producer, one consumer, slots of one size.
//
// Indices count records and never wrap.  Each side keeps the other's index cached and publishes its
// own after every `batch` records.  An object of each end belongs to one thread.

#include "bench/common.h"

#include <sched.h>

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ringlog::bench {

class IdealRing {
 public:
  explicit IdealRing(size_t bytes) : slot_size(bytes), slot_count(std::bit_floor(kBytes / bytes)) {}

  struct Memory {
    alignas(128) std::atomic<uint64_t> tail;
    alignas(128) std::atomic<uint64_t> head;
    alignas(4096) std::byte slots[size_t{1} << 20];
  };
  static constexpr size_t kBytes = sizeof(Memory::slots);

  std::byte* slot(uint64_t index) const {
    return memory->slots + (index & (slot_count - 1)) * slot_size;
  }

  const size_t slot_size;
  const uint64_t slot_count;
  Shared<Memory> memory;
};

// Spins, and yields only when the other side is not running at all.
class Patience {
 public:
  void spin() {
    relax();
    if (++spins_ % 4096 == 0) ::sched_yield();
  }

 private:
  uint32_t spins_ = 0;
};

class IdealProducer {
 public:
  explicit IdealProducer(IdealRing& ring, uint64_t batch = 1) : ring_(ring), batch_(batch) {}

  void write(const std::byte* record, size_t size) {
    if (tail_ - head_cached_ == ring_.slot_count) wait_for_room();
    std::memcpy(ring_.slot(tail_), record, size);
    ++tail_;
    if (tail_ % batch_ == 0) publish();
  }
  void publish() { ring_.memory->tail.store(tail_, std::memory_order_release); }

 private:
  void wait_for_room() {
    publish();
    for (Patience patience; tail_ - head_cached_ == ring_.slot_count; patience.spin()) {
      head_cached_ = ring_.memory->head.load(std::memory_order_acquire);
    }
  }

  IdealRing& ring_;
  const uint64_t batch_;
  uint64_t tail_ = 0;
  uint64_t head_cached_ = 0;
};

class IdealConsumer {
 public:
  explicit IdealConsumer(IdealRing& ring, uint64_t batch = 1) : ring_(ring), batch_(batch) {}

  // The next record where it lies, or nullptr.
  const std::byte* next() {
    if (head_ == tail_cached_) {
      tail_cached_ = ring_.memory->tail.load(std::memory_order_acquire);
      if (head_ == tail_cached_) return nullptr;
    }
    return ring_.slot(head_);
  }
  const std::byte* wait_next() {
    const std::byte* record = next();
    for (Patience patience; record == nullptr; record = next()) patience.spin();
    return record;
  }
  // Gives the record back.
  void release() {
    ++head_;
    if (head_ % batch_ == 0) ring_.memory->head.store(head_, std::memory_order_release);
  }

 private:
  IdealRing& ring_;
  const uint64_t batch_;
  uint64_t head_ = 0;
  uint64_t tail_cached_ = 0;
};

}  // namespace ringlog::bench
