#pragma once
// A segment's file as somebody sees it who does not keep to the rules: no mapping, only writes.
//
// A plain file in memory, so that it can be cut and punched; clear() makes it new again.  One
// thread.

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "record/message.h"
#include "shm/posix.h"
#include "shm/ring.h"
#include "shm/segment.h"
#include "tests/fuzz/input.h"

namespace ringlog::fuzz {

class SegmentFile {
 public:
  // Header, four pages of words, four of slots.
  static constexpr size_t kControlPages = 9;

  explicit SegmentFile(uint32_t producer) : control_(kControlPages * shm::kPageSize) {
    shm::SegmentSpec spec;
    spec.run_id = "run";
    spec.project = "project";
    spec.root = "/nowhere";
    spec.producer_id = producer;
    spec.first_ring_bytes = spec.later_ring_bytes = shm::kRingBytesMin;
    auto made = shm::create_segment({"/nowhere"}, spec);
    require(static_cast<bool>(made), "a segment can be made");
    require(static_cast<bool>(shm::read_at(made->fd.get(), control_, 0, "segment")), "and read");
    std::memcpy(&header_, control_.data(), sizeof header_);
    fd_ = std::move(*shm::create_memfd("segment_file"));
  }

  // All rings empty, everything where it was.
  void clear() {
    cut(0);
    cut(header_.file_size);
    write(0, control_);
    rings_.assign(header_.ring_count, {});
  }
  shm::Fd open() const { return std::move(*shm::duplicate(fd_.get())); }
  const shm::SegmentHeader& header() const { return header_; }
  uint64_t tail(uint32_t ring) const { return rings_[ring].tail; }
  uint64_t next_seq(uint32_t ring) const { return rings_[ring].seq; }

  void write(uint64_t offset, std::span<const std::byte> bytes) {
    if (offset > header_.file_size || bytes.size() > header_.file_size - offset) return;
    const auto size = static_cast<ssize_t>(bytes.size());
    const ssize_t written =
        ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    require(written == size, "a file in memory can be written");
  }
  void cut(uint64_t size) {
    require(::ftruncate(fd_.get(), static_cast<off_t>(size)) == 0, "a plain file can be cut");
  }
  void punch(uint64_t offset, uint64_t size) {
    ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                static_cast<off_t>(size));
  }
  // Commits a record; false when the ring is full.
  bool append(uint32_t ring, uint16_t kind, uint8_t flags, std::span<const std::byte> payload,
              uint64_t head) {
    const uint32_t bytes = shm::record_bytes(payload.size());
    State& state = rings_[ring];
    const shm::RingGeometry& geometry = header_.rings[ring];
    if (bytes > shm::kRecordSizeMax || state.tail + bytes - head > geometry.capacity) return false;
    const uint64_t at = geometry.data_offset + (state.tail & (geometry.capacity - 1));
    const shm::RecordHeader header{bytes, kind, flags, 2, state.seq};
    write(at, std::as_bytes(std::span(&header, 1)));
    write(at + sizeof header, payload);
    if ((flags & shm::kFlagRow) != 0) ++state.seq;
    state.tail += bytes;
    write(header_.ring_producers_offset + ring * sizeof(shm::RingProducer),
          std::as_bytes(std::span(&state.tail, 1)));
    return true;
  }
  bool append(uint32_t ring, const record::Words& message, uint64_t head) {
    return append(ring, shm::kKindRecord, 0, record::as_bytes(message), head);
  }

 private:
  struct State {
    uint64_t tail = 0;
    uint64_t seq = 0;
  };
  shm::Fd fd_;
  std::vector<std::byte> control_;
  shm::SegmentHeader header_{};
  std::vector<State> rings_;
};

}  // namespace ringlog::fuzz
