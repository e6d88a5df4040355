// The ring: what goes in comes out, whole and in order, wherever it lies.

#include "shm/ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "result_matchers.h"
#include "seed.h"
#include "test_ring.h"

namespace ringlog::shm {
namespace {

using test::IsOk;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(Ring, Reader_FindsNothingInANewRing) {
  TestRing ring;
  RingReader reader = ring.reader();
  const Polled polled = poll(reader);
  EXPECT_THAT(polled.status, IsOk());
  EXPECT_THAT(polled.records, IsEmpty());
  EXPECT_EQ(reader.backlog(), 0u);
}

TEST(Ring, Reader_GetsBackWhatWasWritten) {
  TestRing ring;
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  ASSERT_TRUE(put(writer, 0, "loss=0.5", 64, kFlagRow));
  ASSERT_TRUE(put(writer, 1, "a config of 24 bytes....", kKindRecord, 0));
  EXPECT_EQ(reader.backlog(), 24u + 40u);
  const Polled polled = poll(reader);
  EXPECT_THAT(polled.status, IsOk());
  EXPECT_THAT(polled.records,
              ElementsAre(TestRecord{0, 64, kFlagRow, "loss=0.5", 24},
                          TestRecord{1, kKindRecord, 0, "a config of 24 bytes....", 64}));
  EXPECT_EQ(reader.backlog(), 0u);
  EXPECT_EQ(reader.position(), writer.position());
}

TEST(Ring, Reader_SkipsHeaderWordsItDoesNotKnow) {
  TestRing ring;
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  std::byte* const at = writer.try_reserve(40);
  const RecordHeader header{40, kKindRecord, 0, 4, 7};
  std::memcpy(at, &header, sizeof header);
  std::memcpy(at + 16, "two words more, not payload", 16);
  std::memcpy(at + 32, "payload.", 8);
  writer.commit(40);
  EXPECT_THAT(poll(reader).records, ElementsAre(TestRecord{7, kKindRecord, 0, "payload.", 40}));
}

TEST(RingWriter, ReservationThatIsNotCommittedCostsNothing) {
  TestRing ring;
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  std::byte* const first = writer.try_reserve(64);
  ASSERT_NE(first, nullptr);
  std::memset(first, 0xff, 64);
  EXPECT_THAT(poll(reader).records, IsEmpty());
  EXPECT_EQ(writer.try_reserve(64), first);
  ASSERT_TRUE(put(writer, 0, "12345678"));
  EXPECT_THAT(poll(reader).records, SizeIs(1));
}

TEST(RingWriter, NextThreadContinuesWhereTheLastStopped) {
  TestRing ring;
  RingReader reader = ring.reader();
  {
    RingWriter first = ring.writer();
    ASSERT_TRUE(put(first, 0, "from the first.."));
  }
  RingWriter second = ring.writer();
  EXPECT_EQ(second.position(), 32u);
  ASSERT_TRUE(put(second, 1, "from the second."));
  EXPECT_THAT(poll(reader).records, SizeIs(2));
  EXPECT_EQ(ring.producer.in_use.load(), 1u);
}

TEST(RingWriter, GetsNoRoomWhenFullAndExactlyWhatIsGivenBack) {
  TestRing ring(kRingBytesMin);
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  const std::string payload(1024 - 16, 'x');
  uint64_t count = 0;
  while (put(writer, count, payload)) ++count;
  EXPECT_EQ(count, kRingBytesMin / 1024);
  EXPECT_EQ(writer.try_reserve(16), nullptr);

  const Polled polled = poll(reader);
  ASSERT_FALSE(polled.records.empty());
  EXPECT_EQ(writer.try_reserve(16), nullptr) << "polled is not given back";
  reader.give_back(polled.records[1].end_position);
  EXPECT_EQ(writer.try_reserve(2048 + 8), nullptr);
  EXPECT_NE(writer.try_reserve(2048), nullptr);
}

TEST(RingWriter, DropsAndCountsWhenFull) {
  TestRing ring(kRingBytesMin);
  RingWriter writer = ring.writer();
  const std::string payload(kRecordSizeMax - 16, 'x');
  for (uint64_t attempt = 0; attempt < 5; ++attempt) {
    if (!put(writer, writer.take_seq(), payload)) writer.count_drop();
  }
  EXPECT_EQ(ring.producer.dropped_rows.load(), 3u);
  EXPECT_EQ(ring.producer.attempted_rows.load(), 5u);
  EXPECT_EQ(writer.next_seq(), 5u);

  RingReader reader = ring.reader();
  const Polled polled = poll(reader, ring.size());
  ASSERT_THAT(polled.records, SizeIs(2));
  reader.give_back(reader.position());
  ASSERT_TRUE(put(writer, writer.take_seq(), payload));
  const Polled after = poll(reader, ring.size());
  ASSERT_THAT(after.records, SizeIs(1));
  EXPECT_EQ(after.records[0].seq - polled.records[1].seq - 1, 3u) << "the gap is the loss";
}

TEST(RingWriter, LooksAtTheDoorbellOnlyAtEachEighthOfTheRing) {
  TestRing ring(kRingBytesMin);
  RingWriter writer = ring.writer();
  const std::string payload(1024 - 16, 'x');
  std::vector<uint64_t> rung_at;
  for (int i = 0; i < 128; ++i) {
    ring.doorbell.asleep.store(1);
    ASSERT_TRUE(put(writer, 0, payload));
    if (ring.doorbell.asleep.load() == 0) rung_at.push_back(writer.position());
  }
  EXPECT_THAT(rung_at, ElementsAre(16384, 32768, 49152, 65536, 81920, 98304, 114688, 131072));
}

TEST(RingWriter, RingsAtOnceWhenAsked) {
  TestRing ring;
  RingWriter writer = ring.writer();
  ring.doorbell.asleep.store(1);
  ASSERT_TRUE(put(writer, 0, "12345678"));
  EXPECT_EQ(ring.doorbell.asleep.load(), 1u);
  writer.ring();
  EXPECT_EQ(ring.doorbell.asleep.load(), 0u);
}

// A record may run past the capacity into the slack: here one does at every alignment, behind one
// that ends before the capacity and in front of one that starts at the ring's beginning.
TEST(Ring, RecordMayRunPastTheEndAtEveryAlignment) {
  constexpr uint64_t kCapacity = 4096;
  for (uint64_t offset = 0; offset < kCapacity; offset += 8) {
    SCOPED_TRACE("offset " + std::to_string(offset));
    TestRing ring(kCapacity, 3 * kCapacity + offset);
    RingWriter writer = ring.writer();
    RingReader reader = ring.reader();
    const std::vector<std::string> payloads = {test_payload(1, 1000), test_payload(2, 2000),
                                               test_payload(3, 8), test_payload(4, 1024)};
    for (size_t i = 0; i < payloads.size(); ++i) ASSERT_TRUE(put(writer, i, payloads[i]));
    ASSERT_FALSE(put(writer, 9, payloads[0])) << "or the test does not fill the ring";
    const Polled polled = poll(reader);
    ASSERT_THAT(polled.status, IsOk());
    ASSERT_THAT(polled.records, SizeIs(payloads.size()));
    for (size_t i = 0; i < payloads.size(); ++i) {
      EXPECT_EQ(polled.records[i].seq, i);
      EXPECT_EQ(polled.records[i].payload, payloads[i]);
    }
    EXPECT_EQ(reader.position(), writer.position());
  }
}

TEST(Ring, LargestRecordFillsTheSlackExactly) {
  TestRing ring(kRingBytesMin, kRingBytesMin - 8);
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  const std::string payload = test_payload(5, kRecordSizeMax - sizeof(RecordHeader));
  ASSERT_TRUE(put(writer, 5, payload));
  const Polled polled = poll(reader);
  ASSERT_THAT(polled.records, SizeIs(1));
  EXPECT_EQ(polled.records[0].payload, payload);
}

// What a ring does next to a queue: random sizes, random polls, room given back late.
void run_against_model(uint64_t start, uint64_t seed) {
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  const uint64_t capacity = random.pick<uint64_t>({kRingBytesMin, 2 * kRingBytesMin});
  TestRing ring(capacity, start);
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  std::deque<TestRecord> model;  // written, not polled
  std::deque<uint64_t> ends;     // polled, not given back
  uint64_t head = start;
  for (uint64_t step = 0; step < 3000; ++step) {
    const uint64_t largest = random.pick<uint64_t>({64, 1024, 8192, kRecordSizeMax});
    const size_t size = random.between(0, (largest - 16) / 8) * 8;
    const bool fits = writer.position() + size + 16 - head <= capacity;
    const uint64_t seq = writer.take_seq();
    const std::string payload = test_payload(seq, size);
    ASSERT_EQ(put(writer, seq, payload), fits);
    if (fits) model.push_back({seq, kKindRowFirst, kFlagRow, payload, writer.position()});
    if (random.one_in(4)) {
      const Polled polled = poll(reader, kRecordSizeMax + random.below(kRecordSizeMax));
      ASSERT_THAT(polled.status, IsOk());
      ASSERT_TRUE(!polled.records.empty() || model.empty()) << "a poll makes progress";
      for (const TestRecord& record : polled.records) {
        ASSERT_FALSE(model.empty());
        ASSERT_EQ(record, model.front());
        model.pop_front();
        ends.push_back(record.end_position);
      }
    }
    if (!ends.empty() && random.one_in(6)) {
      const size_t kept = random.below(ends.size());
      while (ends.size() > kept) {
        head = ends.front();
        ends.pop_front();
      }
      reader.give_back(head);
    }
  }
  ASSERT_GT(writer.position() - start, 4 * capacity) << "or the test hardly wraps";
}

TEST(RingModel, BehavesAsAQueueOfBoundedSize) {
  for (uint64_t i = 0; i < 8; ++i) run_against_model(0, test::seed() + i);
}
TEST(RingModel, BehavesTheSameWherePositionsPassTheThirtySecondBit) {
  run_against_model((uint64_t{1} << 32) - 64 * 1024, test::seed());
  run_against_model((uint64_t{1} << 32) - 8, test::seed());
}
TEST(RingModel, BehavesTheSameWherePositionsPassTheSixtyThirdBit) {
  run_against_model((uint64_t{1} << 63) - 64 * 1024, test::seed());
  run_against_model((uint64_t{1} << 63) - 8, test::seed());
}

}  // namespace
}  // namespace ringlog::shm
