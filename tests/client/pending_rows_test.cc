// What the `coalesce` policy keeps while a ring is full, and how it is counted.

#include "client/pending_rows.h"

#include <gtest/gtest.h>

#include <string>

#include "test_ring.h"

namespace ringlog::client {
namespace {

const record::RowTemplate kLoss{shm::kKindRowFirst, 1};
const record::RowTemplate kAccuracy{shm::kKindRowFirst + 1, 1};

class PendingRowsTest : public ::testing::Test {
 protected:
  // Rows of the program itself until none has room.
  void fill() {
    while (shm::put(writer_, writer_.next_seq(), std::string(1000, 'x'))) writer_.take_seq();
    while (shm::put(writer_, writer_.next_seq(), "")) writer_.take_seq();
  }
  void empty() {
    while (!shm::poll(reader_).records.empty()) {
    }
    reader_.give_back(reader_.position());
  }
  // One more row, which is kept; its sequence number.
  uint64_t keep(const record::RowTemplate& shape) {
    const uint64_t seq = writer_.take_seq();
    const uint64_t bits = 0;
    pending_.keep(writer_, shape, seq, seq, 0, &bits);
    return seq;
  }
  uint64_t dropped() const { return ring_.producer.dropped_rows.load(); }
  uint64_t attempted() const { return ring_.producer.attempted_rows.load(); }

  shm::TestRing ring_;
  shm::RingWriter writer_ = ring_.writer();
  shm::RingReader reader_ = ring_.reader();
  PendingRows pending_;
};

TEST_F(PendingRowsTest, AKeptRowCountsAsDroppedUntilItIsInTheRing) {
  fill();
  const uint64_t before = writer_.next_seq();
  const uint64_t kept = keep(kLoss);
  // Killed here, the row would be gone.
  EXPECT_EQ(dropped(), 1u);
  EXPECT_EQ(attempted(), before + 1);
  EXPECT_FALSE(pending_.write(writer_)) << "there is no room yet";
  EXPECT_EQ(dropped(), 1u);

  empty();
  EXPECT_TRUE(pending_.write(writer_));
  EXPECT_EQ(dropped(), 0u);
  const auto polled = shm::poll(reader_);
  ASSERT_EQ(polled.records.size(), 1u);
  EXPECT_EQ(polled.records[0].seq, kept);
  EXPECT_TRUE(pending_.is_empty());
}

TEST_F(PendingRowsTest, KeepsTheNewestOfEachKeySetInTheirOrder) {
  fill();
  keep(kLoss);
  const uint64_t accuracy = keep(kAccuracy);
  const uint64_t loss = keep(kLoss);
  EXPECT_EQ(dropped(), 3u);
  empty();
  EXPECT_TRUE(pending_.write(writer_));
  EXPECT_EQ(dropped(), 1u) << "the one that was replaced";
  const auto polled = shm::poll(reader_);
  ASSERT_EQ(polled.records.size(), 2u);
  EXPECT_EQ(polled.records[0].seq, accuracy);
  EXPECT_EQ(polled.records[1].seq, loss);
}

TEST_F(PendingRowsTest, WhatIsGivenUpStaysCounted) {
  fill();
  keep(kLoss);
  keep(kAccuracy);
  pending_.drop();
  EXPECT_TRUE(pending_.is_empty());
  EXPECT_EQ(dropped(), 2u);
  empty();
  EXPECT_TRUE(pending_.write(writer_));
  EXPECT_TRUE(shm::poll(reader_).records.empty());
}

}  // namespace
}  // namespace ringlog::client
