#pragma once
// A ring on its own, for tests: its words are members, its bytes a memfd that the writer maps and
// the reader reads, as in a segment.  One thread for each end.

#include "shm/posix.h"
#include "shm/ring.h"
#include "shm/ring_reader.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ringlog::shm {

// One record as a test wrote it or got it back.
struct TestRecord {
  uint64_t seq;
  uint16_t kind;
  uint8_t flags;
  std::string payload;
  uint64_t end_position;

  bool operator==(const TestRecord&) const = default;
};

class TestRing {
 public:
  TestRing() : TestRing(kRingBytesMin) {}
  // Both positions start at `start`, as if so many bytes had passed through before.
  explicit TestRing(uint64_t capacity, uint64_t start = 0)
      : fd_(std::move(*create_memfd("test-ring"))), geometry_{0, capacity} {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size())) != 0) {
      throw std::runtime_error("ftruncate");
    }
    void* const at = ::mmap(nullptr, size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    if (at == MAP_FAILED) throw std::runtime_error("mmap");
    data_ = static_cast<std::byte*>(at);
    producer.tail.store(start);
    consumer.head.store(start);
  }
  ~TestRing() { ::munmap(data_, size()); }
  TestRing(const TestRing&) = delete;
  TestRing& operator=(const TestRing&) = delete;

  RingWriter writer() { return {producer, consumer, data_, geometry_.capacity, doorbell}; }
  RingReader reader() { return {fd_.get(), geometry_, producer, consumer, consumer.head.load()}; }

  uint64_t size() const { return geometry_.capacity + kRecordSizeMax; }
  int fd() const { return fd_.get(); }
  std::byte* data() { return data_; }
  // Where the byte at `position` lies.
  std::byte* at(uint64_t position) { return data_ + (position & (geometry_.capacity - 1)); }
  // A record by hand: `header` and nothing of its payload, published or not as `tail` says.
  void forge(uint64_t position, const RecordHeader& header, uint64_t tail) {
    std::memcpy(at(position), &header, sizeof header);
    producer.tail.store(tail);
  }

  RingProducer producer{};
  RingConsumer consumer{};
  DoorbellPage doorbell{};

 private:
  Fd fd_;
  RingGeometry geometry_;
  std::byte* data_ = nullptr;
};

// Text of `size` bytes that tells records and places in them apart.
inline std::string test_payload(uint64_t seq, size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(seq * 31 + i + (i >> 8) * 7);
  return text;
}

// Writes a record whose payload is whole words; false when the ring is full.
inline bool put(RingWriter& writer, uint64_t seq, std::string_view payload,
                uint16_t kind = kKindRowFirst, uint8_t flags = kFlagRow) {
  const uint32_t bytes = record_bytes(payload.size());
  std::byte* const at = writer.try_reserve(bytes);
  if (at == nullptr) return false;
  const RecordHeader header{bytes, kind, flags, 2, seq};
  std::memcpy(at, &header, sizeof header);
  std::memcpy(at + sizeof header, payload.data(), payload.size());
  writer.commit(bytes);
  return true;
}

// What poll() brought, as copies.
struct Polled {
  Status status = Done{};
  std::vector<TestRecord> records;
};

inline Polled poll(RingReader& reader, uint64_t bytes_max = kRecordSizeMax) {
  std::vector<std::byte> scratch;
  std::vector<RecordView> views;
  Polled polled;
  polled.status = reader.poll(bytes_max, scratch, views);
  for (const RecordView& view : views) {
    polled.records.push_back(
        {view.header.seq, view.header.kind, view.header.flags,
         std::string(reinterpret_cast<const char*>(view.payload_untrusted.data()),
                     view.payload_untrusted.size()),
         view.end_position});
  }
  return polled;
}

}  // namespace ringlog::shm
