#include "shm/ring_reader.h"

#include "shm/futex.h"
#include "shm/posix.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace ringlog::shm {

namespace {

Error corrupt(const char* what, uint64_t value, uint64_t position) {
  return {Code::kCorrupt,
          "ring position " + std::to_string(position) + ": " + what + " " + std::to_string(value)};
}

}  // namespace

RingReader::RingReader(int fd, const RingGeometry& geometry, const RingProducer& producer,
                       RingConsumer& consumer, uint64_t position)
    : fd_(fd), geometry_(geometry), producer_(producer), consumer_(consumer), position_(position) {}

uint64_t RingReader::backlog() const {
  // ORDER tail: only a hint; poll() loads it again with acquire.
  const uint64_t size = producer_.tail.load(std::memory_order_relaxed) - position_;
  return std::min(size, geometry_.capacity);
}

Status RingReader::poll(uint64_t bytes_max, std::vector<std::byte>& scratch,
                        std::vector<RecordView>& out) {
  // ORDER tail: makes the records before it visible; pairs with the release in commit().
  const uint64_t tail = producer_.tail.load(std::memory_order_acquire);
  if (tail == position_) return Done{};
  if (tail < position_ || tail - position_ > geometry_.capacity || tail % 8 != 0) {
    return corrupt("impossible tail", tail, position_);
  }
  const uint64_t size = std::min(tail - position_, bytes_max);
  if (Status copied = copy(size, scratch); !copied) return copied;
  for (uint64_t at = 0; at < size;) {
    if (tail - position_ < sizeof(RecordHeader)) {
      return corrupt("tail in the middle of a header", tail, position_);
    }
    if (at + sizeof(RecordHeader) > size) break;
    RecordHeader header;
    std::memcpy(&header, scratch.data() + at, sizeof header);
    if (Status checked = check(header, tail - position_); !checked) return checked;
    if (at + header.bytes > size) break;  // cut by bytes_max: the next poll starts with it
    const size_t header_size = size_t{header.header_words} * 8;
    position_ += header.bytes;
    out.push_back(
        {header, {scratch.data() + at + header_size, header.bytes - header_size}, position_});
    at += header.bytes;
  }
  return Done{};
}

Status RingReader::copy(uint64_t size, std::vector<std::byte>& scratch) {
  if (scratch.size() < size) scratch.resize(size);
  const uint64_t index = position_ & (geometry_.capacity - 1);
  // A record that runs past the capacity stands whole in the slack; the one after it starts at the
  // index its position gives.  So the bytes up to the end of the last straddling record are
  // contiguous at `index`, and what follows is contiguous from the ring's start.
  const uint64_t until_end = geometry_.capacity - index;
  const uint64_t first = std::min<uint64_t>(size, until_end + kRecordSizeMax);
  if (Status s = read(index, {scratch.data(), first}); !s) return s;
  if (size <= until_end) return Done{};
  // Find where the straddling record ends; headers are checked again by poll().
  uint64_t at = 0;
  while (at < until_end) {
    RecordHeader header;
    if (at + sizeof header > first) break;
    std::memcpy(&header, scratch.data() + at, sizeof header);
    if (header.bytes < sizeof header || header.bytes > kRecordSizeMax) return Done{};
    at += header.bytes;
  }
  // Cut in the middle of the straddling record, or exactly behind it: nothing of the start is
  // needed.
  if (at < until_end || at >= size) return Done{};
  return read(at - until_end, {scratch.data() + at, size - at});
}

// Where the mapping cannot be had or has lost a page, the file is read, which says what is wrong.
Status RingReader::read(uint64_t index, std::span<std::byte> into) {
  if (!mapped_ && may_map_ && into.size() >= kMapFromBytes) {
    mapped_ = GuardedMapping::map(fd_, geometry_.data_offset, geometry_.capacity + kRecordSizeMax);
    may_map_ = mapped_ != nullptr;
  }
  if (mapped_) {
    if (mapped_->copy(index, into)) return Done{};
    mapped_.reset();
    may_map_ = false;
  }
  return read_at(fd_, into, geometry_.data_offset + index, "segment");
}

Status RingReader::check(const RecordHeader& header, uint64_t left) const {
  if (header.bytes < sizeof header || header.bytes > kRecordSizeMax || header.bytes % 8 != 0) {
    return corrupt("impossible record size", header.bytes, position_);
  }
  if (header.bytes > left) return corrupt("record beyond the tail, size", header.bytes, position_);
  if (header.header_words < 2 || size_t{header.header_words} * 8 > header.bytes) {
    return corrupt("impossible header size", header.header_words, position_);
  }
  if (header.kind != kKindRecord && header.kind < kKindRowFirst) {
    return corrupt("unknown record kind", header.kind, position_);
  }
  return Done{};
}

void RingReader::give_back(uint64_t position) {
  // ORDER head: what was before it has been copied; pairs with the acquire in refresh_head().
  consumer_.head.store(position, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  // ORDER room: see RingWriter::wait_reserve().
  if (producer_.waiting.load(std::memory_order_relaxed) == 0) return;
  consumer_.room.fetch_add(1, std::memory_order_release);
  futex_wake_all(consumer_.room);
}

}  // namespace ringlog::shm
