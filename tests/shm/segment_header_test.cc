// Headers that somebody else wrote: refused with a reason, or harmless to both views.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <vector>

#include "result_matchers.h"
#include "seed.h"
#include "shm/segment.h"

namespace ringlog::shm {
namespace {

using test::FailsWith;
using test::IsOk;
using ::testing::HasSubstr;

// A segment in anonymous memory whose header a test rewrites.
class SegmentHeaderTest : public ::testing::Test {
 protected:
  SegmentHeaderTest() {
    SegmentSpec spec;
    spec.run_id = "run";
    spec.first_ring_bytes = kRingBytesMin;
    spec.later_ring_bytes = kRingBytesMin;
    auto created = create_segment({"/nowhere"}, spec);
    EXPECT_THAT(created, IsOk());
    fd = std::move(created->fd);
    good = *read_segment_header(fd.get(), "segment");
  }

  Result<SegmentHeader> read(const SegmentHeader& header) {
    store(header);
    return read_segment_header(fd.get(), "segment");
  }
  void store(const SegmentHeader& header) {
    ASSERT_EQ(::pwrite(fd.get(), &header, sizeof header, 0), ssize_t{sizeof header});
  }

  // Maps the segment both ways and uses every word of both views.  Whether it was accepted.
  bool use_everything() {
    auto service = ServiceSegment::map(std::move(*duplicate(fd.get())), "segment");
    auto client = ClientSegment::map(std::move(*duplicate(fd.get())));
    EXPECT_EQ(static_cast<bool>(service), static_cast<bool>(client));
    if (service) use_service_view(**service);
    if (client) use_client_view(**client);
    return static_cast<bool>(service);
  }
  static void use_service_view(const ServiceSegment& view) {
    view.service().stored_rows.fetch_add(1);
    view.service().network_state.fetch_add(1);
    sum_of_reads += view.producer().lost_records.load();
    for (uint32_t ring = 0; ring < view.header().ring_count; ++ring) {
      view.ring_consumer(ring).head.fetch_add(1);
      view.ring_consumer(ring).room.fetch_add(1);
      sum_of_reads += view.ring_producer(ring).tail.load() + view.ring_producer(ring).in_use.load();
    }
    for (Slot& slot : view.slots()) slot.reply.back() ^= std::byte{1};
  }
  static void use_client_view(const ClientSegment& view) {
    sum_of_reads += view.service().network_state.load();
    view.producer().lost_records.fetch_add(1);
    for (uint32_t ring = 0; ring < view.header().ring_count; ++ring) {
      sum_of_reads += view.ring_consumer(ring).head.load();
      view.ring_producer(ring).tail.fetch_add(1);
      view.ring_data(ring)[0] ^= std::byte{1};
      view.ring_data(ring)[view.header().rings[ring].capacity + kRecordSizeMax - 1] ^= std::byte{1};
    }
    for (Slot& slot : view.slots()) slot.word.fetch_add(1);
  }

  static inline std::atomic<uint64_t> sum_of_reads{0};
  Fd fd;
  SegmentHeader good{};
};

TEST_F(SegmentHeaderTest, RefusesAnotherMagic) {
  SegmentHeader header = good;
  header.magic ^= 1;
  EXPECT_THAT(read(header), FailsWith(Code::kCorrupt, HasSubstr("is not a segment")));
}

TEST_F(SegmentHeaderTest, RefusesAnotherMajorAndNamesBothVersions) {
  const std::string minor = "." + std::to_string(kLayoutMinor);
  for (const int step : {-1, 1}) {
    SegmentHeader header = good;
    header.layout_major = static_cast<uint16_t>(kLayoutMajor + step);
    EXPECT_THAT(
        read(header),
        FailsWith(Code::kVersion,
                  HasSubstr("has layout " + std::to_string(kLayoutMajor + step) + minor +
                            ", this program reads " + std::to_string(kLayoutMajor) + minor)));
  }
}

TEST_F(SegmentHeaderTest, ReadsANewerMinor) {
  SegmentHeader header = good;
  header.layout_minor = kLayoutMinor + 1;
  header.header_size = sizeof(SegmentHeader) + 64;
  EXPECT_THAT(read(header), IsOk());
  EXPECT_TRUE(use_everything());
}

TEST_F(SegmentHeaderTest, RefusesUnknownIncompatibleFlagsAndIgnoresCompatibleOnes) {
  for (int bit = 0; bit < 32; ++bit) {
    SegmentHeader header = good;
    header.incompat_flags = 1u << bit;
    EXPECT_THAT(read(header), FailsWith(Code::kVersion));
    header.incompat_flags = 0;
    header.compat_flags = 1u << bit;
    EXPECT_THAT(read(header), IsOk());
  }
}

TEST_F(SegmentHeaderTest, RefusesAFileThatIsCutShort) {
  auto file = create_memfd("cut");
  ASSERT_THAT(file, IsOk());
  EXPECT_THAT(read_segment_header(file->get(), "cut"), FailsWith(Code::kCorrupt));
  ASSERT_EQ(::pwrite(file->get(), &good, sizeof good, 0), ssize_t{sizeof good});
  EXPECT_THAT(read_segment_header(file->get(), "cut"),
              FailsWith(Code::kCorrupt, HasSubstr("cut has an impossible layout")));
  ASSERT_EQ(::ftruncate(file->get(), static_cast<off_t>(good.file_size) - 1), 0);
  EXPECT_THAT(read_segment_header(file->get(), "cut"), FailsWith(Code::kCorrupt));
}

struct BadLayout {
  const char* what;
  void (*spoil)(SegmentHeader&);
};

TEST_F(SegmentHeaderTest, RefusesImpossibleLayouts) {
  const BadLayout cases[] = {
      {"no rings", [](SegmentHeader& h) { h.ring_count = 0; }},
      {"too many rings", [](SegmentHeader& h) { h.ring_count = kRingCountMax + 1; }},
      {"rings nobody laid out", [](SegmentHeader& h) { h.ring_count = kRingCount + 1; }},
      {"too many slots", [](SegmentHeader& h) { h.slot_count = kSlotCount + 1; }},
      {"larger records", [](SegmentHeader& h) { h.record_size_max *= 2; }},
      {"larger than the file", [](SegmentHeader& h) { h.file_size += kPageSize; }},
      {"words in the header", [](SegmentHeader& h) { h.service_words_offset = 0; }},
      {"words off a page", [](SegmentHeader& h) { h.producer_words_offset += 8; }},
      {"words behind the file", [](SegmentHeader& h) { h.ring_consumers_offset = 0xfffff000; }},
      {"slots behind the file",
       [](SegmentHeader& h) { h.slots_offset = static_cast<uint32_t>(h.file_size); }},
      {"capacity not a power of two", [](SegmentHeader& h) { h.rings[0].capacity -= 8; }},
      {"capacity too large", [](SegmentHeader& h) { h.rings[3].capacity = uint64_t{1} << 40; }},
      {"ring off a page", [](SegmentHeader& h) { h.rings[1].data_offset += 8; }},
      {"ring over the slots", [](SegmentHeader& h) { h.rings[1].data_offset = h.slots_offset; }},
      {"ring behind the file", [](SegmentHeader& h) { h.rings[8].data_offset += kPageSize; }},
      {"ring far away", [](SegmentHeader& h) { h.rings[2].data_offset = ~uint64_t{4095}; }},
      // Found by the fuzzing below: the service wrote to a page that it maps read-only.
      {"two owners of a page",
       [](SegmentHeader& h) { h.ring_consumers_offset = h.ring_producers_offset; }},
      {"words in the slots",
       [](SegmentHeader& h) { h.ring_producers_offset = h.slots_offset + kPageSize; }},
      // … and read behind its mapping, which ends with the slots.
      {"words among the rings",
       [](SegmentHeader& h) {
         h.ring_producers_offset = static_cast<uint32_t>(h.rings[1].data_offset);
       }},
  };
  for (const BadLayout& bad : cases) {
    SegmentHeader header = good;
    bad.spoil(header);
    EXPECT_THAT(read(header), FailsWith(Code::kCorrupt, HasSubstr("impossible layout")))
        << bad.what;
  }
}

// Every 32-bit word of the header's numbers, with values that could hurt.
TEST_F(SegmentHeaderTest, WhateverItsNumbersSayUsingTheViewsIsSafe) {
  const uint32_t data = static_cast<uint32_t>(good.rings[0].data_offset);
  const std::vector<uint32_t> values = {
      0,      1,      8,      16,     64,    4095,       4096,       4104,          8192,
      0x3000, 0x4000, 0x5000, 0x6000, data,  data + 8,   0x20000,    data - 0x1000, 0x7ffff000,
      32,     33,     63,     65,     0x100, 0x80000000, 0xfffff000, 0xfffffff8,    0xffffffff};
  size_t accepted = 0;
  const auto try_word = [&](size_t offset) {
    for (const uint32_t value : values) {
      SegmentHeader header = good;
      std::memcpy(reinterpret_cast<char*>(&header) + offset, &value, sizeof value);
      store(header);
      accepted += use_everything() ? 1 : 0;
    }
  };
  for (size_t at = 0; at < offsetof(SegmentHeader, pid); at += 4) try_word(at);
  for (size_t at = offsetof(SegmentHeader, rings); at < sizeof(SegmentHeader); at += 4) {
    // Rings 1 to 7 are checked as 0 and 8 are.
    const size_t ring = (at - offsetof(SegmentHeader, rings)) / sizeof(RingGeometry);
    if (ring == 0 || ring >= 8) try_word(at);
  }
  EXPECT_GT(accepted, 0u);
}

TEST_F(SegmentHeaderTest, AnyTwoNumbersTogetherAreSafeToo) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  constexpr size_t kWords = (offsetof(SegmentHeader, pid) - 32) / 4;
  for (int round = 0; round < 2000; ++round) {
    SegmentHeader header = good;
    for (int change = 0; change < 2; ++change) {
      const auto value = static_cast<uint32_t>(random.below(40) * kPageSize);
      std::memcpy(reinterpret_cast<char*>(&header) + 32 + random.below(kWords) * 4, &value,
                  sizeof value);
    }
    store(header);
    use_everything();
  }
}

TEST_F(SegmentHeaderTest, TextWithoutAnEndIsCutAtItsField) {
  SegmentHeader header = good;
  header.run_id.fill('r');
  auto read_back = read(header);
  ASSERT_THAT(read_back, IsOk());
  EXPECT_EQ(header_text(read_back->run_id), std::string(header.run_id.size(), 'r'));
}

}  // namespace
}  // namespace ringlog::shm
