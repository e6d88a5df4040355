#pragma once
// What the service's tests share: a clock that stands still, and a process's side of a segment
// played by the test itself.

#include "daemon/clock.h"
#include "daemon/handler.h"
#include "record/encode.h"
#include "record/row_template.h"
#include "shm/mailbox.h"
#include "shm/ring.h"
#include "shm/segment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "result_matchers.h"
#include "temp_dir.h"

namespace ringlog::service {

using test::FailsWith;
using test::IsOk;

class FakeClock final : public Clock {
 public:
  int64_t monotonic_ms() const override { return now_ms; }
  int64_t realtime_ns() const override { return now_ms * 1'000'000; }
  int64_t now_ms = 1'000'000;
};

// A ring record as RingReader would hand it on; owns the payload.
struct OwnedRecord {
  shm::RecordHeader header{};
  record::Words payload;

  shm::RecordView view() const { return {header, record::as_bytes(payload), 0}; }
};

inline OwnedRecord make_record(record::Words words, uint64_t seq, uint8_t flags = 0) {
  return {{shm::record_bytes(words.size() * 8), shm::kKindRecord, flags, 2, seq}, std::move(words)};
}

inline OwnedRecord make_row(uint16_t kind, uint64_t seq, uint64_t step, int64_t time_ns,
                            const std::vector<uint64_t>& bits) {
  record::Words words = {record::kRowRootPointer, step, static_cast<uint64_t>(time_ns),
                         record::row_list_pointer(bits.size())};
  words.insert(words.end(), bits.begin(), bits.end());
  return {{shm::record_bytes(words.size() * 8), kind, shm::kFlagRow, 2, seq}, std::move(words)};
}

inline std::vector<record::ColumnSpec> columns(const std::vector<std::string>& names) {
  std::vector<record::ColumnSpec> specs;
  for (const std::string& name : names) specs.push_back({name, schema::ColumnType::FLOAT64});
  return specs;
}

// A config record of one number whose value also has a pointer, out of the message: whoever reads
// the number alone never follows it, and whoever copies the record does.
inline record::Words unreadable_config() {
  constexpr double kNumber = 0.123;
  record::Words words = record::encode_config(std::array{Item{"lr", kNumber}}, 1);
  const auto number = std::find(words.begin(), words.end(), std::bit_cast<uint64_t>(kNumber));
  if (words.end() - number < 2) throw std::logic_error("a number without the pointer behind it");
  number[1] = 0x0001'0001'00ff'ff00;
  return words;
}

// The process: writes into the rings of a segment that the service made.
class Producer {
 public:
  explicit Producer(shm::Fd fd) {
    auto mapped = shm::ClientSegment::map(std::move(fd));
    if (!mapped) throw std::runtime_error(mapped.error().message);
    segment_ = std::move(*mapped);
    for (uint32_t ring = 0; ring < segment_->header().ring_count; ++ring) {
      writers_.emplace_back(segment_->ring_producer(ring), segment_->ring_consumer(ring),
                            segment_->ring_data(ring), segment_->header().rings[ring].capacity,
                            doorbell_);
    }
  }

  shm::RingWriter& ring(uint32_t index) { return writers_[index]; }
  shm::ClientSegment& segment() { return *segment_; }
  shm::Mailbox mailbox() { return shm::Mailbox(segment_->slots()); }

  // False: no room.
  bool write(uint32_t index, const OwnedRecord& record) {
    shm::RingWriter& writer = writers_[index];
    std::byte* at = writer.try_reserve(record.header.bytes);
    if (at == nullptr) return false;
    std::memcpy(at, &record.header, sizeof record.header);
    std::memcpy(at + sizeof record.header, record.payload.data(), record.payload.size() * 8);
    writer.commit(record.header.bytes);
    return true;
  }
  void register_keys(uint32_t ring, uint16_t kind, const std::vector<std::string>& names) {
    ASSERT_TRUE(write(ring, make_record(record::encode_key_set(kind, columns(names), 1),
                                        writers_[ring].next_seq())));
  }
  bool log(uint32_t ring, uint16_t kind, const std::vector<uint64_t>& bits) {
    const uint64_t seq = writers_[ring].take_seq();
    return write(ring, make_row(kind, seq, seq, static_cast<int64_t>(seq), bits));
  }
  void finish_record(uint32_t ring, int32_t code) {
    ASSERT_TRUE(
        write(ring, make_record(record::encode_finish(code, false, 1), writers_[ring].next_seq())));
  }
  // Claims a slot and commits the request.
  shm::Mailbox::Claim ask(uint32_t ring, record::RequestKind kind,
                          Durability level = Durability::kStored) {
    auto box = mailbox();
    auto claim = box.claim();
    EXPECT_THAT(claim, IsOk());
    const auto words = record::encode_request(
        {.kind = kind, .durability = level, .slot = claim->slot, .word = claim->word}, 1);
    const uint32_t bytes = shm::record_bytes(words.size() * 8);
    box.announce(*claim, ring, writers_[ring].position() + bytes);
    EXPECT_TRUE(write(ring, make_record(words, writers_[ring].next_seq(), shm::kFlagRequest)));
    return *claim;
  }
  shm::SlotState state_of(const shm::Mailbox::Claim& claim) {
    return shm::slot_state(segment_->slots()[claim.slot].word.load());
  }

 private:
  shm::DoorbellPage doorbell_{};
  std::unique_ptr<shm::ClientSegment> segment_;
  std::vector<shm::RingWriter> writers_;
};

}  // namespace ringlog::service
