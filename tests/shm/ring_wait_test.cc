// The ring between two threads: waiting for room, waking, streaming.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "result_matchers.h"
#include "seed.h"
#include "test_ring.h"
#include "watchdog.h"

namespace ringlog::shm {
namespace {

using std::chrono::nanoseconds;
using test::IsOk;

// Half a ring and one that does not fit twice: two fill the ring.
const std::string kHalf(kRingBytesMin / 2 - sizeof(RecordHeader), 'h');

void fill(RingWriter& writer) {
  while (put(writer, writer.take_seq(), kHalf)) {
  }
}

void await(const std::atomic<uint32_t>& word, uint32_t value) {
  while (word.load() != value) std::this_thread::yield();
}

TEST(RingWriter, WaitReserve_ReturnsAtOnceWhenThereIsRoom) {
  TestRing ring;
  RingWriter writer = ring.writer();
  EXPECT_EQ(writer.wait_reserve(64, nanoseconds(0)), ring.data());
}

TEST(RingWriter, WaitReserve_GivesUpAtItsTimeoutAndCountsTheTime) {
  TestRing ring;
  RingWriter writer = ring.writer();
  fill(writer);
  EXPECT_EQ(writer.wait_reserve(64, nanoseconds(0)), nullptr);
  EXPECT_EQ(writer.wait_reserve(64, nanoseconds(-1)), nullptr);
  EXPECT_EQ(writer.wait_reserve(64, std::chrono::milliseconds(2)), nullptr);
  EXPECT_GE(ring.producer.blocked_ns.load(), 2'000'000u);
  EXPECT_EQ(ring.producer.waiting.load(), 0u);
}

TEST(RingWriter, WaitReserve_RingsTheDoorbellBeforeItSleeps) {
  TestRing ring;
  RingWriter writer = ring.writer();
  fill(writer);
  ring.doorbell.asleep.store(1);
  EXPECT_EQ(writer.wait_reserve(64, std::chrono::microseconds(100)), nullptr);
  EXPECT_EQ(ring.doorbell.asleep.load(), 0u);
}

TEST(RingWriter, WaitReserve_IsWokenWhenRoomIsGivenBack) {
  const test::Watchdog watchdog;
  TestRing ring;
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  for (int round = 0; round < 200; ++round) {
    fill(writer);
    std::byte* at = nullptr;
    // Longer than the watchdog's patience: only a wake can end it.
    std::thread waiter([&] { at = writer.wait_reserve(64, std::chrono::hours(1)); });
    await(ring.producer.waiting, 1);
    ASSERT_THAT(poll(reader, ring.size()).status, IsOk());
    reader.give_back(reader.position());
    waiter.join();
    ASSERT_NE(at, nullptr);
    ASSERT_EQ(ring.producer.waiting.load(), 0u);
  }
}

TEST(RingWriter, WaitReserve_TakesTheLongestTimeoutForForever) {
  const test::Watchdog watchdog;
  TestRing ring;
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  fill(writer);
  std::byte* at = nullptr;
  std::atomic<uint32_t> has_returned{0};
  std::thread waiter([&] {
    at = writer.wait_reserve(64, nanoseconds::max());
    has_returned.store(1);
  });
  while (ring.producer.waiting.load() == 0 && has_returned.load() == 0) std::this_thread::yield();
  ASSERT_THAT(poll(reader, ring.size()).status, IsOk());
  reader.give_back(reader.position());
  waiter.join();
  EXPECT_NE(at, nullptr);
}

TEST(RingReader, GiveBack_DoesNotTouchTheRoomWordWhenNobodyWaits) {
  TestRing ring;
  RingWriter writer = ring.writer();
  RingReader reader = ring.reader();
  ASSERT_TRUE(put(writer, 0, "12345678"));
  ASSERT_THAT(poll(reader).status, IsOk());
  reader.give_back(reader.position());
  EXPECT_EQ(ring.consumer.head.load(), 24u);
  EXPECT_EQ(ring.consumer.room.load(), 0u);
  ring.producer.waiting.store(1);
  reader.give_back(reader.position());
  EXPECT_EQ(ring.consumer.room.load(), 1u);
}

// The whole path: the producer waits for room, the service sleeps on the doorbell.
TEST(Ring, StreamsBetweenTwoThreadsInOrderAndWhole) {
  const test::Watchdog watchdog;
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  constexpr uint64_t kRecords = 50'000;
  TestRing ring;
  std::thread producer([&] {
    RingWriter writer = ring.writer();
    test::Random random(seed);
    for (uint64_t seq = 0; seq < kRecords; ++seq) {
      const std::string payload = test_payload(seq, random.between(0, 64) * 8);
      const uint32_t bytes = record_bytes(payload.size());
      std::byte* const at = writer.wait_reserve(bytes, std::chrono::hours(1));
      const RecordHeader header{bytes, kKindRowFirst, kFlagRow, 2, seq};
      std::memcpy(at, &header, sizeof header);
      std::memcpy(at + sizeof header, payload.data(), payload.size());
      writer.commit(bytes);
    }
    writer.ring();
  });
  RingReader reader = ring.reader();
  uint64_t next = 0;
  while (next < kRecords) {
    const Polled polled = poll(reader);
    ASSERT_THAT(polled.status, IsOk());
    for (const TestRecord& record : polled.records) {
      ASSERT_EQ(record.seq, next);
      ASSERT_EQ(record.payload, test_payload(next, record.payload.size()));
      ++next;
    }
    reader.give_back(reader.position());
    announce_sleep(ring.doorbell);
    if (reader.backlog() != 0 || next == kRecords) {
      cancel_sleep(ring.doorbell);
    } else {
      sleep_on_doorbell(ring.doorbell, std::chrono::milliseconds(kServiceSleepMaxMs));
    }
  }
  producer.join();
}

}  // namespace
}  // namespace ringlog::shm
