// A segment as version 1 of the layout wrote it, read for ever.
//
// golden/segment_v1.<minor>.bin holds its control pages and then the first page of its first ring.
// To make it anew after a change of the layout (which needs a new name, and this one kept):
//
//   UPDATE_GOLDEN=1 build/dev/tests/shm_segment_golden_test

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "golden.h"
#include "result_matchers.h"
#include "shm/notice.h"
#include "shm/segment.h"
#include "test_ring.h"

namespace ringlog::shm {
namespace {

using test::FailsWith;
using test::IsOk;
using ::testing::ElementsAre;

constexpr size_t kControlSize = 9 * kPageSize;  // header, four pages of words, four of slots

// One file for each minor version there has been; an older one is never written anew.
std::string golden_path(uint16_t minor) {
  return test::source_dir() / ("tests/shm/golden/segment_v1." + std::to_string(minor) + ".bin");
}

// A segment with something in every part of it, the same each time.
Fd make_example() {
  SegmentSpec spec;
  spec.run_id = "golden-run";
  spec.project = "golden";
  spec.root = "/var/lib/ringlog";
  spec.producer_id = 2;
  spec.rank = 1;
  spec.attempt = 3;
  spec.worker = 5;
  spec.pid = 1234;
  spec.pid_start = 5678;
  spec.first_ring_bytes = 2 * kRingBytesMin;
  spec.later_ring_bytes = kRingBytesMin;
  auto created = create_segment({"/nowhere"}, spec);
  EXPECT_THAT(created, IsOk());
  SegmentHeader header = *read_segment_header(created->fd.get(), "segment");
  // What differs from one segment to the next.
  header.created_ns = 1'700'000'000'000'000'000;
  header.uuid = {"00112233445566778899aabbccddeeff"};
  header.boot_id = {"01234567-89ab-cdef-0123-456789abcdef"};
  EXPECT_EQ(::pwrite(created->fd.get(), &header, sizeof header, 0), ssize_t{sizeof header});
  return std::move(created->fd);
}

void use_example(const Fd& fd) {
  auto service = std::move(*ServiceSegment::map(std::move(*duplicate(fd.get())), "segment"));
  auto client = std::move(*ClientSegment::map(std::move(*duplicate(fd.get()))));
  DoorbellPage doorbell{};
  RingWriter writer(client->ring_producer(0), client->ring_consumer(0), client->ring_data(0),
                    client->header().rings[0].capacity, doorbell);
  put(writer, writer.take_seq(), "row zero", 64);
  put(writer, writer.take_seq(), "row one.", 64);
  put(writer, writer.next_seq(), "a request to slot 7.....", kKindRecord, kFlagRequest);
  writer.take_seq();
  writer.count_drop();
  service->ring_consumer(0).head.store(24);
  service->ring_consumer(0).room.store(2);
  service->ring_consumer(0).wake_at.store(4096);
  service->service().epoch.store(9);
  service->service().stored_rows.store(1);
  service->service().stop_step.store(101);
  service->service().checkpoint_step.store(51);
  service->service().file_bytes_left.store(4096);
  write_notice(service->service().notice, "the disk is full");
  Slot& slot = client->slots()[7];
  slot.word.store(slot_word(6, SlotState::kRequested) | kSlotWaiter);
  slot.ring = 0;
  slot.position.store(88);
  const std::string_view reply = "a reply";
  answer_slot(service->slots()[7], slot_word(6, SlotState::kRequested),
              std::as_bytes(std::span(reply)), false);
  client->producer().step.store(50);
  client->producer().exit_code.store(-1);
  client->producer().exit_state.store(1);
}

std::string golden_part(const Fd& fd) {
  const uint64_t ring = read_segment_header(fd.get(), "segment")->rings[0].data_offset;
  std::string bytes(kControlSize + kPageSize, '\0');
  auto all = std::as_writable_bytes(std::span(bytes));
  EXPECT_THAT(read_at(fd.get(), all.subspan(0, kControlSize), 0, "segment"), IsOk());
  EXPECT_THAT(read_at(fd.get(), all.subspan(kControlSize), ring, "segment"), IsOk());
  return bytes;
}

std::string read_golden(uint16_t minor) {
  std::ifstream file(golden_path(minor), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A file as large as the golden segment was, with the golden bytes in their places.
Fd open_golden(uint16_t minor) {
  const std::string bytes = read_golden(minor);
  SegmentHeader header;
  EXPECT_GE(bytes.size(), kControlSize + kPageSize);
  std::memcpy(&header, bytes.data(), sizeof header);
  auto file = create_memfd("golden");
  EXPECT_EQ(::ftruncate(file->get(), static_cast<off_t>(header.file_size)), 0);
  EXPECT_EQ(::pwrite(file->get(), bytes.data(), kControlSize, 0), ssize_t{kControlSize});
  EXPECT_EQ(::pwrite(file->get(), bytes.data() + kControlSize, kPageSize,
                     static_cast<off_t>(header.rings[0].data_offset)),
            ssize_t{kPageSize});
  return std::move(*file);
}

TEST(GoldenSegment, IsWrittenAsItWas) {
  const Fd example = make_example();
  use_example(example);
  const std::string bytes = golden_part(example);
  if (test::updates_golden()) {
    std::ofstream(golden_path(kLayoutMinor), std::ios::binary) << bytes;
  }
  const std::string golden = read_golden(kLayoutMinor);
  ASSERT_EQ(bytes.size(), golden.size());
  for (size_t at = 0; at < bytes.size(); ++at) {
    ASSERT_EQ(bytes[at], golden[at]) << "byte " << at << ": the layout changed";
  }
}

class GoldenSegmentOfMinor : public testing::TestWithParam<uint16_t> {};

INSTANTIATE_TEST_SUITE_P(EachThereWas, GoldenSegmentOfMinor,
                         testing::Range(uint16_t{0}, uint16_t{kLayoutMinor + 1}));

TEST_P(GoldenSegmentOfMinor, IsReadAsItWas) {
  auto service = ServiceSegment::map(open_golden(GetParam()), "golden");
  ASSERT_THAT(service, IsOk());
  ASSERT_EQ((*service)->header().layout_minor, GetParam());
  const ServiceSegment& segment = **service;
  EXPECT_EQ(header_text(segment.header().run_id), "golden-run");
  EXPECT_EQ(header_text(segment.header().root), "/var/lib/ringlog");
  EXPECT_EQ(header_text(segment.header().uuid), "00112233445566778899aabbccddeeff");
  EXPECT_EQ(segment.header().attempt, 3);
  EXPECT_EQ(segment.header().pid_start, 5678u);
  EXPECT_EQ(segment.producer().exit_state.load(), 1u);
  EXPECT_EQ(segment.producer().exit_code.load(), -1);
  EXPECT_EQ(segment.ring_producer(0).dropped_rows.load(), 1u);
  EXPECT_EQ(segment.ring_producer(0).attempted_rows.load(), 3u);
  EXPECT_EQ(segment.service().epoch.load(), 9u);
  EXPECT_EQ(segment.ring_consumer(0).wake_at.load(), GetParam() == 0 ? 0u : 4096u);
  const bool has_steps = GetParam() >= 2;
  EXPECT_EQ(segment.service().stop_step.load(), has_steps ? 101u : 0u);
  EXPECT_EQ(segment.service().checkpoint_step.load(), has_steps ? 51u : 0u);
  EXPECT_EQ(segment.producer().step.load(), has_steps ? 50u : 0u);
  uint32_t seen = 0;
  EXPECT_EQ(read_notice(segment.service().notice, seen),
            has_steps ? std::optional<std::string>("the disk is full") : std::nullopt);

  RingReader reader(segment.fd(), segment.header().rings[0], segment.ring_producer(0),
                    segment.ring_consumer(0), segment.ring_consumer(0).head.load());
  const Polled polled = poll(reader);
  EXPECT_THAT(polled.status, IsOk());
  EXPECT_THAT(polled.records, ElementsAre(TestRecord{1, 64, kFlagRow, "row one.", 48},
                                          TestRecord{2, kKindRecord, kFlagRequest,
                                                     "a request to slot 7.....", 88}));

  const Slot& slot = segment.slots()[7];
  EXPECT_EQ(slot.word.load(), slot_word(6, SlotState::kDone));
  EXPECT_EQ(slot.position.load(), 88u);
  Mailbox mailbox(segment.slots());
  auto reply = mailbox.wait({7, slot_word(6, SlotState::kRequested)}, std::chrono::nanoseconds(0),
                            [] { return true; });
  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->bytes, "a reply");
}

TEST(GoldenSegment, OfANewerMajorIsRefusedAndOfANewerMinorIsRead) {
  const Fd fd = open_golden(kLayoutMinor);
  const uint16_t newer = kLayoutMajor + 1;
  ASSERT_EQ(::pwrite(fd.get(), &newer, 2, offsetof(SegmentHeader, layout_minor)), 2);
  EXPECT_THAT(ServiceSegment::map(std::move(*duplicate(fd.get())), "golden"), IsOk());
  ASSERT_EQ(::pwrite(fd.get(), &newer, 2, offsetof(SegmentHeader, layout_major)), 2);
  EXPECT_THAT(ServiceSegment::map(std::move(*duplicate(fd.get())), "golden"),
              FailsWith(Code::kVersion));
  EXPECT_THAT(ClientSegment::map(std::move(*duplicate(fd.get()))), FailsWith(Code::kVersion));
}

}  // namespace
}  // namespace ringlog::shm
