// Rows: the bytes we patch together are the bytes Cap'n Proto itself would build.

#include "record/row_template.h"

#include "record/message.h"

#include <capnp/message.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <limits>

#include "schema/record.capnp.h"
#include "seed.h"

namespace ringlog::record {
namespace {

constexpr uint64_t kStep = 0x0123456789abcdef;
constexpr int64_t kTimeNs = 1'700'000'000'123'456'789;

std::vector<uint64_t> some_bits(size_t count) {
  std::vector<uint64_t> bits = {std::bit_cast<uint64_t>(0.25),
                                std::bit_cast<uint64_t>(std::numeric_limits<double>::quiet_NaN()),
                                0x7ff4000000000001, 0, ~uint64_t{0}};
  test::Random random(count);
  while (bits.size() < count) bits.push_back(random.bits());
  bits.resize(count);
  return bits;
}

// The row as write_row() writes it: header and message.
Words written(const RowTemplate& shape, const std::vector<uint64_t>& bits) {
  Words words(shape.bytes / 8, 0xdeaddeaddeaddead);
  write_row(reinterpret_cast<std::byte*>(words.data()), shape, 77, kStep, kTimeNs, bits.data());
  return words;
}
std::span<const std::byte> payload(const Words& words) {
  return as_bytes(words).subspan(sizeof(shm::RecordHeader));
}

class RowTemplateTest : public ::testing::TestWithParam<size_t> {
 protected:
  const size_t count = GetParam();
  const RowTemplate shape{shm::kKindRowFirst + 5, count};
  const std::vector<uint64_t> bits = some_bits(count);
  const Words words = written(shape, bits);
};

TEST_P(RowTemplateTest, MessageIsWordForWordWhatCapnProtoBuilds) {
  capnp::MallocMessageBuilder message(static_cast<capnp::uint>(count + 4));
  auto row = message.initRoot<schema::Row>();
  row.setStep(kStep);
  row.setTimeNs(kTimeNs);
  auto list = row.initBits(static_cast<capnp::uint>(count));
  for (size_t i = 0; i < count; ++i) list.set(static_cast<capnp::uint>(i), bits[i]);
  ASSERT_TRUE(message.isCanonical());
  const Words built = to_words(message);
  const Words ours(words.begin() + 2, words.end());
  EXPECT_EQ(ours, built);
}

TEST_P(RowTemplateTest, HeaderSaysSizeKindAndSequence) {
  shm::RecordHeader header;
  std::memcpy(&header, words.data(), sizeof header);
  EXPECT_EQ(header.bytes, 16 + 32 + 8 * count);
  EXPECT_EQ(header.bytes, words.size() * 8);
  EXPECT_EQ(header.kind, shm::kKindRowFirst + 5);
  EXPECT_EQ(header.flags, shm::kFlagRow);
  EXPECT_EQ(header.header_words, 2);
  EXPECT_EQ(header.seq, 77u);
}

TEST_P(RowTemplateTest, CapnProtoReadsItBack) {
  MessageView view(payload(words));
  auto row = view.root<schema::Row>();
  EXPECT_EQ(row.getStep(), kStep);
  EXPECT_EQ(row.getTimeNs(), kTimeNs);
  std::vector<uint64_t> read;
  for (const uint64_t word : row.getBits()) read.push_back(word);
  EXPECT_EQ(read, bits);
}

TEST_P(RowTemplateTest, FastReaderReadsItBack) {
  const auto view = read_row_fast(payload(words), count);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->step, kStep);
  EXPECT_EQ(view->time_ns, kTimeNs);
  EXPECT_EQ(std::memcmp(view->bits, bits.data(), count * 8), 0);
}

TEST_P(RowTemplateTest, FastReaderRefusesEveryOtherPointer) {
  for (const size_t pointer_word : {size_t{2}, size_t{5}}) {
    for (int bit = 0; bit < 64; ++bit) {
      Words changed = words;
      changed[pointer_word] ^= uint64_t{1} << bit;
      EXPECT_FALSE(read_row_fast(payload(changed), count))
          << "word " << pointer_word << " bit " << bit;
    }
  }
}

TEST_P(RowTemplateTest, FastReaderTakesAnyValueForValues) {
  for (size_t word = 3; word < words.size(); ++word) {
    if (word == 5) continue;
    Words changed = words;
    changed[word] = ~changed[word];
    EXPECT_TRUE(read_row_fast(payload(changed), count)) << "word " << word;
  }
}

TEST_P(RowTemplateTest, FastReaderRefusesEveryOtherSize) {
  EXPECT_FALSE(read_row_fast(payload(words), count + 1));
  EXPECT_FALSE(read_row_fast(payload(words), count - 1));
  Words longer = words;
  longer.push_back(0);
  EXPECT_FALSE(read_row_fast(payload(longer), count));
  for (size_t size = 0; size < payload(words).size(); size += 4) {
    EXPECT_FALSE(read_row_fast(payload(words).first(size), count));
  }
}

INSTANTIATE_TEST_SUITE_P(KeyCounts, RowTemplateTest,
                         ::testing::Values(0, 1, 4, 100, kTemplateKeysMax),
                         ::testing::PrintToStringParamName());

TEST(RowTemplate, FourDoublesTakeEightyBytes) { EXPECT_EQ(row_record_bytes(4), 80u); }

TEST(RowTemplate, LargestFitsOneRingRecord) {
  EXPECT_LE(row_record_bytes(kTemplateKeysMax), shm::kRecordSizeMax);
}

}  // namespace
}  // namespace ringlog::record
