#pragma once
// The ring: one producer thread, one consumer (the service's drain thread).
//
//        head                        tail
//   ------+-------------+-------------+-------- capacity (2^n) --+-- slack --
//    free | hdr payload | hdr payload |  free ...                |
//   ------+-------------+-------------+--------------------------+-----------
//
//   tail  bytes ever committed.  Stored by the producer only, with release, after the record is
//         complete: a producer killed at any instruction leaves no torn record, because what it had
//         not published does not exist.
//   head  bytes ever given back.  Stored by the consumer only, after the records are in the store.
//
// Positions only grow; index = position & (capacity - 1).  A record never wraps: it may run past
// `capacity` into the slack, which holds one record of the largest size.
//
// RingWriter belongs to one thread at a time; handing it to another thread needs a lock or a join
// in between.  The cached peer position and the sequence live in it, not in shared memory.

#include "shm/doorbell.h"
#include "shm/layout.h"

#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <span>

namespace ringlog::shm {

// In front of every record; 16 bytes, then the Cap'n Proto words of one segment.
struct RecordHeader {
  uint32_t bytes;        // header and payload, a multiple of 8, at most kRecordSizeMax
  uint16_t kind;         // kKindRecord, or >= kKindRowFirst: a Row of that key set
  uint8_t flags;         // kFlag…
  uint8_t header_words;  // 2; a reader skips this many words
  uint64_t seq;          // rows attempted in this ring before this record
};
static_assert(sizeof(RecordHeader) == 16);

inline constexpr uint16_t kKindRecord = 1;
inline constexpr uint16_t kKindRowFirst = 64;
inline constexpr uint8_t kFlagRow = 1;      // this record is one attempt: it consumes `seq`
inline constexpr uint8_t kFlagRequest = 2;  // names a mailbox slot; never stored
inline constexpr uint8_t kFlagBlob = 4;     // stands for a record in the store's blobs

// The first word of a RecordHeader as it lies in memory.
constexpr uint64_t header_word(uint32_t bytes, uint16_t kind, uint8_t flags) {
  constexpr uint64_t kHeaderWords = sizeof(RecordHeader) / 8;
  return uint64_t{bytes} | uint64_t{kind} << 32 | uint64_t{flags} << 48 | kHeaderWords << 56;
}
static_assert(std::endian::native == std::endian::little);

// Bytes a record with this payload takes in the ring.
constexpr uint32_t record_bytes(size_t payload_size) {
  return static_cast<uint32_t>((sizeof(RecordHeader) + payload_size + 7) & ~size_t{7});
}

class RingWriter {
 public:
  // All must outlive the writer.  `data` is capacity + kRecordSizeMax bytes.
  RingWriter(RingProducer& producer, const RingConsumer& consumer, std::byte* data,
             uint64_t capacity, DoorbellPage& doorbell);

  // Room for a record of `bytes` (from record_bytes()), or nullptr when the ring is full.  Nothing
  // is visible to the service before commit(); a reservation that is not committed costs nothing.
  std::byte* try_reserve(uint32_t bytes) {
    if (position_ + bytes - head_cached_ > capacity_ && !refresh_head(bytes)) return nullptr;
    return data_ + (position_ & mask_);
  }

  // Publishes the `bytes` written at the last reservation.
  void commit(uint32_t bytes) {
    const uint64_t position = position_ + bytes;
    position_ = position;
    // ORDER tail: publishes the record's bytes; pairs with the acquire in RingReader::poll().
    producer_.tail.store(position, std::memory_order_release);
    if (position >= next_mark_) cross_mark();
  }

  // Like try_reserve, but sleeps up to `timeout` until the service has made room.
  std::byte* wait_reserve(uint32_t bytes, std::chrono::nanoseconds timeout);

  // Counts a row that was not written; the ledger reads both words.
  void count_drop();
  // Says how many rows were attempted, of a ring whose records nobody reads any more.
  void tell_attempts();
  // A row that was counted as dropped is in the ring after all; call after its commit(), so that a
  // kill in between leaves it counted twice, which the ledger can tell, and never uncounted.
  void take_back_drop();

  // Rings the doorbell whatever the marks say: flush, finish, requests.
  void ring() { ring_doorbell(doorbell_); }

  uint64_t position() const { return position_; }
  uint64_t capacity() const { return capacity_; }
  // Any thread may ask.
  uint64_t next_seq() const {
    // ORDER seq: relaxed, a count for who asks how many rows there were; it publishes nothing.
    return std::atomic_ref(next_seq_).load(std::memory_order_relaxed);
  }
  // The sequence number of the row being attempted; call once per attempt.
  uint64_t take_seq() {
    const uint64_t seq = next_seq_;
    // ORDER seq: only the writing thread stores, so that no locked instruction is needed.
    std::atomic_ref(next_seq_).store(seq + 1, std::memory_order_relaxed);
    return seq;
  }

 private:
  bool refresh_head(uint32_t bytes);
  void cross_mark();

  // Constant after construction.
  RingProducer& producer_;
  const RingConsumer& consumer_;
  std::byte* const data_;
  const uint64_t capacity_;
  const uint64_t mask_;
  DoorbellPage& doorbell_;
  // Owned by the writing thread.
  uint64_t position_;              // == producer_.tail
  uint64_t head_cached_;           // <= consumer_.head
  uint64_t next_mark_;             // the next multiple of capacity / kMarksPerRing
  mutable uint64_t next_seq_ = 0;  // mutable for atomic_ref, which takes no const object
};

}  // namespace ringlog::shm
