// Foreign messages: whatever their bits, reading one ends, and at worst with kCorrupt.

#include "record/message.h"

#include "record/encode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "record_reader.h"
#include "result_matchers.h"
#include "seed.h"

namespace ringlog::record {
namespace {

using test::FailsWith;
using test::IsOk;
using ::testing::HasSubstr;

Status read_all(std::span<const std::byte> bytes) {
  return try_read([&] {
    MessageView view(bytes);
    RecordReader reader;
    reader.read(view.root<schema::Record>());
  });
}
Status read_all(const Words& words) { return read_all(as_bytes(words)); }

std::vector<Words> small_messages() {
  const Item number[] = {{"a", 1.0}};
  // Values borrow, so each level has a name that lives as long as the whole.
  const std::vector<double> numbers = {1.0, 2.0};
  const Item list[] = {{"l", Value(numbers)}};
  const ColumnSpec columns[] = {{"a", schema::ColumnType::INT64}};
  return {encode_finish(1, false, 2),
          encode_blob(3, 4, 5),
          encode_request({RequestKind::kFlush, Durability::kSent, 1, 2}, 3),
          encode_alert("t", "x", AlertLevel::kWarn, 1),
          encode_console("out", false, 1),
          encode_key_set(64, columns, 1),
          encode_config(number, 1),
          encode_summary(list, 1)};
}

std::vector<Words> large_messages() {
  const std::vector<Item> pair = {{"x", 3.0}, {"y", true}};
  const std::vector<Value> mixed = {1, "two", nullptr, Value(pair)};
  const std::vector<int64_t> integers = {1, 2, 3};
  const std::vector<Item> inner = {{"b", "c"}};
  const std::vector<Item> outer = {{"a", Value(inner)}};
  const Item items[] = {
      {"loss", 0.5}, {"nested", Value(outer)}, {"list", Value(mixed)}, {"ints", Value(integers)}};
  return {encode_free_row(1, 2, items), encode_metric("m*", {"epoch", {"min", "max"}, false}, 3),
          encode_file({.name = "a", .source = "/b"}, 4)};
}

void flip(Words& words, size_t bit) { words[bit / 64] ^= uint64_t{1} << (bit % 64); }

TEST(MessageView, ReadsWhatWasEncoded) {
  for (const Words& words : small_messages()) EXPECT_THAT(read_all(words), IsOk());
  for (const Words& words : large_messages()) EXPECT_THAT(read_all(words), IsOk());
}

TEST(MessageView, SaysWhatIsWrongWithAnEmptyMessage) {
  EXPECT_THAT(read_all(std::span<const std::byte>()), FailsWith(Code::kCorrupt, HasSubstr("root")));
}

TEST(MessageView, CopiesSoThatItsBytesDoNotChange) {
  Words words = encode_finish(7, false, 8);
  MessageView view(as_bytes(words));
  std::fill(words.begin(), words.end(), ~uint64_t{0});
  EXPECT_EQ(view.root<schema::Record>().getFinish().getExitCode(), 7);
}

TEST(MessageView, ReadsFromAnyAlignment) {
  const Words words = encode_alert("title", "text", AlertLevel::kInfo, 1);
  std::vector<std::byte> bytes(words.size() * 8 + 8);
  for (size_t shift = 0; shift < 8; ++shift) {
    std::memcpy(bytes.data() + shift, words.data(), words.size() * 8);
    EXPECT_THAT(read_all(std::span(bytes).subspan(shift, words.size() * 8)), IsOk());
  }
}

TEST(MessageView, SurvivesEveryTruncation) {
  for (const Words& words : large_messages()) {
    for (size_t size = 0; size < words.size() * 8; ++size) {
      EXPECT_NO_FATAL_FAILURE((void)read_all(as_bytes(words).first(size)));
    }
  }
}

// As Cap'n Proto's own fuzz-test does it.
TEST(MessageView, SurvivesEveryTwoFlippedBitsOfASmallMessage) {
  Words words = encode_finish(1, false, 2);
  const size_t bits = words.size() * 64;
  for (size_t first = 0; first < bits; ++first) {
    flip(words, first);
    (void)read_all(words);
    for (size_t second = first + 1; second < bits; ++second) {
      flip(words, second);
      (void)read_all(words);
      flip(words, second);
    }
    flip(words, first);
  }
  EXPECT_THAT(read_all(words), IsOk());
}

TEST(MessageView, SurvivesEveryFlippedBit) {
  for (const auto& messages : {small_messages(), large_messages()}) {
    for (Words words : messages) {
      for (size_t bit = 0; bit < words.size() * 64; ++bit) {
        flip(words, bit);
        (void)read_all(words);
        flip(words, bit);
      }
      EXPECT_THAT(read_all(words), IsOk());
    }
  }
}

TEST(MessageView, SurvivesRandomFlipsOfAllMessages) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  std::vector<Words> messages = small_messages();
  for (Words& words : large_messages()) messages.push_back(std::move(words));
  for (const Words& words : messages) {
    for (int round = 0; round < 2'000; ++round) {
      Words changed = words;
      const size_t flips = random.between(1, 4);
      for (size_t i = 0; i < flips; ++i) flip(changed, random.below(changed.size() * 64));
      (void)read_all(changed);
    }
  }
}

// A list that points at itself would be read for ever but for the limits.
TEST(MessageView, EndsOnMessagesThatPointAtThemselves) {
  const std::vector<Value> inner = {1};
  const Item items[] = {{"k", Value(inner)}};
  const Words words = encode_config(items, 1);
  for (size_t word = 1; word < words.size(); ++word) {
    for (int offset = -static_cast<int>(words.size()); offset <= 0; ++offset) {
      Words changed = words;
      // A composite list of as many words as there are, `offset` words away.
      changed[word] = static_cast<uint32_t>(offset * 4 + 1) |
                      (uint64_t{7} | static_cast<uint64_t>(words.size() - 2) << 3) << 32;
      (void)read_all(changed);
    }
  }
}

TEST(TryRead, TurnsWhatCapnProtoThrowsIntoAnError) {
  const Words garbage = {~uint64_t{0}, ~uint64_t{0}};
  EXPECT_THAT(read_all(garbage), FailsWith(Code::kCorrupt));
}

}  // namespace
}  // namespace ringlog::record
