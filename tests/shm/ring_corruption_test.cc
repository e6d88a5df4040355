// A ring whose producer lies: every violation is an error of that ring, never a crash, and what
// stood before it is delivered.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "result_matchers.h"
#include "seed.h"
#include "shm/sigbus.h"
#include "test_ring.h"
#include "watchdog.h"

namespace ringlog::shm {
namespace {

using test::FailsWith;
using test::IsOk;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr RecordHeader kGood{32, kKindRecord, 0, 2, 1};

struct BadHeader {
  const char* what;
  RecordHeader header;
  const char* message;
};

TEST(RingReader, RefusesImpossibleHeadersAndDeliversWhatStoodBefore) {
  const BadHeader cases[] = {
      {"no size", {0, kKindRecord, 0, 2, 1}, "impossible record size 0"},
      {"less than a header", {8, kKindRecord, 0, 2, 1}, "impossible record size 8"},
      {"not whole words", {20, kKindRecord, 0, 2, 1}, "impossible record size 20"},
      {"above the largest", {65544, kKindRecord, 0, 2, 1}, "impossible record size 65544"},
      {"enormous", {0xfffffff8, kKindRecord, 0, 2, 1}, "impossible record size 4294967288"},
      {"beyond the tail", {40, kKindRecord, 0, 2, 1}, "beyond the tail, size 40"},
      {"no header words", {32, kKindRecord, 0, 0, 1}, "impossible header size 0"},
      {"one header word", {32, kKindRecord, 0, 1, 1}, "impossible header size 1"},
      {"more header than record", {32, kKindRecord, 0, 5, 1}, "impossible header size 5"},
      {"kind 0", {32, 0, 0, 2, 1}, "unknown record kind 0"},
      {"kind 2", {32, 2, 0, 2, 1}, "unknown record kind 2"},
      {"kind 63", {32, 63, 0, 2, 1}, "unknown record kind 63"},
  };
  for (const BadHeader& bad : cases) {
    SCOPED_TRACE(bad.what);
    TestRing ring;
    RingWriter writer = ring.writer();
    RingReader reader = ring.reader();
    ASSERT_TRUE(put(writer, 0, "good one"));
    ring.forge(24, bad.header, 24 + 32);
    const Polled polled = poll(reader);
    EXPECT_THAT(polled.status, FailsWith(Code::kCorrupt, HasSubstr(bad.message)));
    EXPECT_THAT(polled.status, FailsWith(Code::kCorrupt, HasSubstr("ring position 24")));
    ASSERT_THAT(polled.records, SizeIs(1));
    EXPECT_EQ(polled.records[0].payload, "good one");
    EXPECT_EQ(reader.position(), 24u);
  }
}

TEST(RingReader, RefusesAHeaderThatLiesBehindTheWrap) {
  TestRing ring(kRingBytesMin, kRingBytesMin - 32);
  RingReader reader = ring.reader();
  const RecordHeader good{48, kKindRecord, 0, 2, 0};
  std::memcpy(ring.at(kRingBytesMin - 32), &good, sizeof good);
  ring.forge(kRingBytesMin + 16, {24, 7, 0, 2, 1}, kRingBytesMin + 64);
  const Polled polled = poll(reader);
  EXPECT_THAT(polled.status, FailsWith(Code::kCorrupt, HasSubstr("unknown record kind 7")));
  EXPECT_THAT(polled.records, SizeIs(1));
}

TEST(RingReader, RefusesImpossibleTails) {
  constexpr uint64_t kStart = 10 * kRingBytesMin;
  for (const uint64_t tail : {kStart - 8, uint64_t{0}, kStart + kRingBytesMin + 8, kStart + 33,
                              kStart + 1, ~uint64_t{0}, uint64_t{1} << 63}) {
    SCOPED_TRACE("tail " + std::to_string(tail));
    TestRing ring(kRingBytesMin, kStart);
    RingReader reader = ring.reader();
    ring.forge(kStart, kGood, tail);
    const Polled polled = poll(reader);
    EXPECT_THAT(polled.status, FailsWith(Code::kCorrupt, HasSubstr("impossible tail")));
    EXPECT_THAT(polled.records, IsEmpty());
  }
}

// Found by this test: eight bytes before the tail were neither a record nor an error, so that the
// service saw work it could not do, for ever.
TEST(RingReader, RefusesATailInTheMiddleOfAHeader) {
  TestRing ring;
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  ASSERT_TRUE(put(writer, 0, "good one"));
  ring.producer.tail.store(32);
  const Polled polled = poll(reader);
  EXPECT_THAT(polled.status, FailsWith(Code::kCorrupt, HasSubstr("tail")));
  EXPECT_THAT(polled.records, SizeIs(1));
}

// The service polls what has a backlog, so an impossible tail must be one.
TEST(RingReader, BacklogOfAnImpossibleTailIsAFullRing) {
  TestRing ring(kRingBytesMin, 4096);
  RingReader reader = ring.reader();
  ring.producer.tail.store(4088);
  EXPECT_EQ(reader.backlog(), kRingBytesMin);
  ring.producer.tail.store(~uint64_t{0});
  EXPECT_EQ(reader.backlog(), kRingBytesMin);
  ring.producer.tail.store(4096 + 32);
  EXPECT_EQ(reader.backlog(), 32u);
  ring.producer.tail.store(4096);
  EXPECT_EQ(reader.backlog(), 0u);
}

TEST(RingReader, SaysSoWhenTheFileWasCut) {
  TestRing ring;
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  ASSERT_TRUE(put(writer, 0, std::string(8192, 'x')));
  ASSERT_EQ(::ftruncate(ring.fd(), 4096), 0);
  const Polled polled = poll(reader);
  EXPECT_THAT(polled.status, FailsWith(Code::kCorrupt, HasSubstr("ends at byte 4096")));
  EXPECT_THAT(polled.records, IsEmpty());
}

// From here on it copies out of a mapping, where a page that is gone is a signal and no short read.
TEST(RingReader, SaysTheSameOfAFileThatWasCutAfterItWasMapped) {
  TestRing ring(4 * kMapFromBytes);
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  const std::string payload(8192 - sizeof(RecordHeader), 'x');
  while (put(writer, 0, payload)) {
  }
  ASSERT_THAT(poll(reader, kMapFromBytes).records, SizeIs(8));
  ASSERT_EQ(::ftruncate(ring.fd(), kMapFromBytes + 4096), 0);
  for (int again = 0; again < 2; ++again) {
    const Polled polled = poll(reader, kMapFromBytes);
    EXPECT_THAT(polled.status, FailsWith(Code::kCorrupt, HasSubstr("ends at byte 69632")));
    EXPECT_THAT(polled.records, IsEmpty());
  }
}

TEST(RingReader, ReadsOnWithoutAMappingWhereThereIsNone) {
  TestRing ring(4 * kMapFromBytes);
  RingWriter writer = ring.writer();
  const std::string payload(8192 - sizeof(RecordHeader), 'x');
  while (put(writer, 0, payload)) {
  }
  std::vector<int> taken;
  for (int index = 0; (index = guard_range(&taken, 1)) >= 0;) taken.push_back(index);
  RingReader reader = ring.reader();
  EXPECT_THAT(poll(reader, 4 * kMapFromBytes).records, SizeIs(32));
  for (const int index : taken) unguard_range(index);
}

TEST(RingReader, SaysSoWhenTheFileCannotBeRead) {
  TestRing ring;
  RingWriter writer = ring.writer();
  RingReader reader(-1, {0, kRingBytesMin}, ring.producer, ring.consumer, 0);
  ASSERT_TRUE(put(writer, 0, "12345678"));
  EXPECT_THAT(poll(reader).status, FailsWith(Code::kIo));
}

TEST(RingReader, RecordsDoNotChangeAfterTheyWerePolled) {
  TestRing ring;
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  ASSERT_TRUE(put(writer, 0,
                  "as it was"
                  "......."));
  std::vector<std::byte> scratch;
  std::vector<RecordView> views;
  ASSERT_THAT(reader.poll(kRecordSizeMax, scratch, views), IsOk());
  ASSERT_THAT(views, SizeIs(1));
  std::memset(ring.data(), 0xff, 4096);
  EXPECT_EQ(std::memcmp(views[0].payload_untrusted.data(), "as it was.......", 16), 0);
  EXPECT_EQ(views[0].header.bytes, 32u);
}

// What poll() must keep to whatever the ring's bytes are.
void expect_within_bounds(const std::vector<RecordView>& views,
                          const std::vector<std::byte>& scratch, uint64_t start,
                          const RingReader& reader) {
  uint64_t position = start;
  for (const RecordView& view : views) {
    position += view.header.bytes;
    ASSERT_EQ(view.end_position, position);
    const std::byte* const begin = view.payload_untrusted.data();
    ASSERT_GE(begin, scratch.data());
    ASSERT_LE(begin + view.payload_untrusted.size(), scratch.data() + scratch.size());
  }
  ASSERT_EQ(reader.position(), position);
}

TEST(RingReader, SurvivesRandomBytesAnywhere) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  std::vector<std::byte> scratch;
  for (int round = 0; round < 300; ++round) {
    const uint64_t start = random.below(1u << 20) * 8;
    TestRing ring(kRingBytesMin, start);
    RingReader reader = ring.reader();
    // Chains of plausible records with a wrong bit here and there reach further than noise.
    uint64_t at = start;
    while (at - start + kRecordSizeMax <= kRingBytesMin) {
      RecordHeader header{static_cast<uint32_t>(random.between(2, 512) * 8), kKindRecord, 0, 2, 0};
      if (random.one_in(64)) {
        const uint64_t bit = random.below(64);
        reinterpret_cast<std::byte*>(&header)[bit / 8] ^= std::byte{1} << (bit % 8);
      }
      std::memcpy(ring.at(at), &header, sizeof header);
      at += std::min<uint64_t>(header.bytes, kRecordSizeMax);
    }
    ring.producer.tail.store(random.one_in(8) ? random.bits() : at);
    for (;;) {
      const uint64_t before = reader.position();
      std::vector<RecordView> views;
      const Status status = reader.poll(kRecordSizeMax, scratch, views);
      expect_within_bounds(views, scratch, before, reader);
      if (!status || reader.position() == before) break;
    }
  }
}

TEST(RingReader, SurvivesBytesThatChangeWhileItReads) {
  const test::Watchdog watchdog;
  TestRing ring(kRingBytesMin, 5 * kRingBytesMin - 4096);
  std::vector<std::byte> scratch;
  std::atomic<bool> is_over{false};
  std::thread flipper([&, random = test::Random(test::seed())]() mutable {
    while (!is_over.load(std::memory_order_relaxed)) {
      // Through the file: for the sanitizer this thread and the writer do not race.
      const uint64_t bit = random.below(ring.size() * 8);
      uint8_t byte = 0;
      const auto offset = static_cast<off_t>(bit / 8);
      ASSERT_EQ(::pread(ring.fd(), &byte, 1, offset), 1);
      byte ^= static_cast<uint8_t>(1u << (bit % 8));
      ASSERT_EQ(::pwrite(ring.fd(), &byte, 1, offset), 1);
    }
  });
  for (int round = 0; round < 300; ++round) {
    const uint64_t start = ring.consumer.head.load();
    ring.producer.tail.store(start);
    RingWriter writer = ring.writer();
    RingReader reader = ring.reader();
    while (put(writer, 0, std::string(504, '\0'))) {
    }
    Status status = Done{};
    while (status && reader.position() != writer.position()) {
      const uint64_t before = reader.position();
      std::vector<RecordView> views;
      status = reader.poll(kRecordSizeMax, scratch, views);
      expect_within_bounds(views, scratch, before, reader);
    }
    reader.give_back(writer.position());
  }
  is_over.store(true);
  flipper.join();
}

}  // namespace
}  // namespace ringlog::shm
