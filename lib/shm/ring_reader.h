#pragma once
// RingReader: the service's end of a ring.  Trusts nothing that stands in it.
//
// The backlog is copied to private memory before anything is looked at: no value changes between
// check and use.  Small pieces are copied with pread(2); from the first large one on the ring is
// mapped, guarded against a file that was truncated (guarded_mapping.h).  Geometry is the reader's
// own copy.  A violation is an error of this ring only: it must not be read again (poisoned).
//
// One instance per ring.  poll() belongs to the drain thread; give_back() may be called by another
// thread (the store's), because it touches only the head words.  wake_ahead() and wake_never() go
// with poll(), before announce_sleep() (doorbell.h).

#include "shm/doorbell.h"
#include "shm/guarded_mapping.h"
#include "shm/layout.h"
#include "shm/ring.h"

#include <ringlog/result.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace ringlog::shm {

// One record in the reader's private copy: the bytes no longer change, but a producer wrote them.
struct RecordView {
  RecordHeader header;
  std::span<const std::byte> payload_untrusted;
  uint64_t end_position;  // of the ring, after this record
};

class RingReader {
 public:
  // `fd` is the segment's file.  Reading starts at `position`: the stored one, not head, so that
  // nothing is read twice after a restart.  All references must outlive the reader.
  RingReader(int fd, const RingGeometry& geometry, const RingProducer& producer,
             RingConsumer& consumer, uint64_t position);

  // Bytes committed and not yet polled.  An impossible tail counts as a full ring, so that whoever
  // polls what has a backlog hears of it from poll().
  uint64_t backlog() const;

  // Copies at most `bytes_max` of the backlog and appends its whole records to `out`.  The views
  // stay valid until the next poll() of any reader that shares `scratch`.  `bytes_max` is at least
  // kRecordSizeMax.
  //   kCorrupt  a position or header is impossible; the records before it are in `out`
  //   kIo       the file cannot be read
  Status poll(uint64_t bytes_max, std::vector<std::byte>& scratch, std::vector<RecordView>& out);

  // Goes back to the end of a record of the last poll(): what was behind it is polled again.
  void rewind(uint64_t position) { position_ = position; }

  // The producer need not ring before `ahead` bytes lie in the ring that were not polled yet.
  void wake_ahead(uint64_t ahead) { wake_at(consumer_, position_ + ahead); }
  // It need not ring at all: nobody reads this ring any more.
  void wake_never() { wake_at(consumer_, UINT64_MAX); }

  // Gives everything before `position` back to the producer and wakes it if it waits.
  void give_back(uint64_t position);

  uint64_t position() const { return position_; }
  uint64_t capacity() const { return geometry_.capacity; }

 private:
  Status copy(uint64_t size, std::vector<std::byte>& scratch);
  Status read(uint64_t index, std::span<std::byte> into);
  Status check(const RecordHeader& header, uint64_t left) const;

  const int fd_;
  const RingGeometry geometry_;
  const RingProducer& producer_;
  RingConsumer& consumer_;
  // Owned by the drain thread.
  uint64_t position_;
  std::unique_ptr<GuardedMapping> mapped_;  // of the ring and its slack; null: pread(2)
  bool may_map_ = true;                     // it was not tried, or it went well
};

}  // namespace ringlog::shm
