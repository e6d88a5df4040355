#pragma once
// One of ringlog's rings without a segment and without a service, for the benchmarks: its words in
// memory that forked processes share, its bytes in a file, as in a segment.
//
// Owned by the process that made it; each end is used by one thread.  Failing throws, as everything
// in common.h.

#include "bench/common.h"
#include "shm/layout.h"
#include "shm/limits.h"
#include "shm/posix.h"
#include "shm/ring.h"
#include "shm/ring_reader.h"

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace ringlog::bench {

class RingMemory {
 public:
  static constexpr uint64_t kCapacity = shm::kFirstRingBytes;

  RingMemory() {
    auto file = shm::create_memfd("bench-ring");
    if (!file) fail(file.error().message);
    file_ = std::move(*file);
    if (Status s = shm::allocate_file(file_.get(), kBytes, "ring"); !s) fail(s.error().message);
    void* at =
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file_.get(), 0);
    if (at == MAP_FAILED) fail_errno("mmap");
    data_ = static_cast<std::byte*>(at);
  }
  ~RingMemory() { ::munmap(data_, kBytes); }
  RingMemory(const RingMemory&) = delete;
  RingMemory& operator=(const RingMemory&) = delete;

  shm::RingWriter writer() {
    return {words_->producer, words_->consumer, data_, kCapacity, words_->doorbell};
  }
  shm::RingReader reader() {
    return {file_.get(), {0, kCapacity}, words_->producer, words_->consumer, 0};
  }
  shm::RingProducer& producer() { return words_->producer; }
  shm::RingConsumer& consumer() { return words_->consumer; }
  shm::DoorbellPage& doorbell() { return words_->doorbell; }

 private:
  static constexpr uint64_t kBytes = kCapacity + shm::kRecordSizeMax;
  // On pages of their own, as in a segment.
  struct Words {
    alignas(4096) shm::RingProducer producer;
    alignas(4096) shm::RingConsumer consumer;
    alignas(4096) shm::DoorbellPage doorbell;
  };

  Shared<Words> words_;
  shm::Fd file_;
  std::byte* data_ = nullptr;
};

}  // namespace ringlog::bench
