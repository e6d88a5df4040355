// Paths and UTF-8.

#include "record/path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "seed.h"

namespace ringlog::record {
namespace {

using ::testing::ElementsAre;

std::vector<std::string_view> views(const std::vector<std::string>& keys) {
  return {keys.begin(), keys.end()};
}

TEST(Path, JoinsKeysWithTheSeparator) {
  EXPECT_EQ(join_path({"a"}), "a");
  EXPECT_EQ(join_path({"a", "b", "c"}),
            "a\x1f"
            "b\x1f"
            "c");
  EXPECT_EQ(display_path(join_path({"train", "loss.total"})), "train.loss.total");
}

TEST(Path, KeyThatHoldsADotIsNotTwoKeys) {
  EXPECT_NE(join_path({"a.b"}), join_path({"a", "b"}));
  EXPECT_THAT(split_path(join_path({"a.b"})), ElementsAre("a.b"));
}

TEST(Path, KeyThatHoldsTheSeparatorIsOneKey) {
  EXPECT_THAT(split_path(join_path({"a\x1f"
                                    "b"})),
              ElementsAre("a\x1f"
                          "b"));
  EXPECT_THAT(split_path(join_path({"\x1e"
                                    "1",
                                    "\x1e\x1f"})),
              ElementsAre("\x1e"
                          "1",
                          "\x1e\x1f"));
}

TEST(Path, MalformedEscapeStandsForItself) {
  EXPECT_THAT(split_path("a\x1e"), ElementsAre("a\x1e"));
  EXPECT_THAT(split_path("a\x1e"
                         "2"),
              ElementsAre("a\x1e"
                          "2"));
}

std::vector<std::string> random_keys(test::Random& random) {
  std::vector<std::string> keys(random.between(1, 5));
  for (std::string& key : keys) {
    const size_t size = random.between(1, 6);
    for (size_t i = 0; i < size; ++i) {
      key += random.pick<std::string>({"a", "0", "1", ".", "\x1e", "\x1f", "\x1e", "\x1f", "é"});
    }
  }
  return keys;
}

TEST(PathProperty, SplitGivesBackWhatWasJoinedAndNoTwoListsShareAPath) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  std::map<std::string, std::vector<std::string>> known;
  for (int round = 0; round < 50'000; ++round) {
    const auto keys = random_keys(random);
    const std::string path = join_path(views(keys));
    ASSERT_EQ(split_path(path), keys);
    const auto [entry, is_new] = known.emplace(path, keys);
    ASSERT_EQ(entry->second, keys);
  }
}

TEST(PathProperty, SplittingForeignBytesNeverLosesOrInventsAny) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  for (int round = 0; round < 20'000; ++round) {
    std::string path;
    const size_t size = random.below(12);
    for (size_t i = 0; i < size; ++i) path += random.pick({'a', '0', '1', '2', '\x1e', '\x1f'});
    size_t total = 0;
    const auto keys = split_path(path);
    for (const std::string& key : keys) total += key.size();
    ASSERT_LE(total + keys.size() - 1, path.size());
    ASSERT_GE(2 * total + keys.size() - 1, path.size());
  }
}

// UTF-8 the slow way: decode whatever the lengths say, then ask whether that is how the result
// would be written.
std::string encoded(uint32_t c) {
  const auto byte = [](uint32_t v) { return static_cast<char>(v); };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xc0 | c >> 6), byte(0x80 | (c & 0x3f))};
  if (c < 0x10000) {
    return {byte(0xe0 | c >> 12), byte(0x80 | (c >> 6 & 0x3f)), byte(0x80 | (c & 0x3f))};
  }
  return {byte(0xf0 | c >> 18), byte(0x80 | (c >> 12 & 0x3f)), byte(0x80 | (c >> 6 & 0x3f)),
          byte(0x80 | (c & 0x3f))};
}

bool is_one_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  uint32_t c = text.size() == 1 ? lead : lead & (0x7fu >> text.size());
  for (const char follow : text.substr(1))
    c = c << 6 | (static_cast<unsigned char>(follow) & 0x3fu);
  const bool is_scalar = c < 0xd800 || (c > 0xdfff && c < 0x110000);
  return is_scalar && encoded(c) == text;
}

// Whether some split of `text` consists of characters.
bool is_utf8_slowly(std::string_view text) {
  if (text.empty()) return true;
  for (size_t size = 1; size <= std::min<size_t>(4, text.size()); ++size) {
    if (is_one_character(text.substr(0, size)) && is_utf8_slowly(text.substr(size))) return true;
  }
  return false;
}

void expect_same(std::string_view text) {
  if (is_utf8(text) == is_utf8_slowly(text)) return;
  std::string shown;
  for (const char c : text) shown += ' ' + std::to_string(static_cast<unsigned char>(c));
  ADD_FAILURE() << "bytes" << shown;
}

TEST(Utf8, EveryCharacterIsValidAndNothingOfItsParts) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    const std::string text = encoded(c);
    const bool is_surrogate = c >= 0xd800 && c <= 0xdfff;
    ASSERT_EQ(is_utf8(text), !is_surrogate) << c;
    if (text.size() == 1) continue;
    ASSERT_FALSE(is_utf8(text.substr(0, text.size() - 1))) << c;
    ASSERT_FALSE(is_utf8(text.substr(1))) << c;
  }
  for (uint32_t c = 0x110000; c < 0x200000; c += 0x101) ASSERT_FALSE(is_utf8(encoded(c))) << c;
}

TEST(Utf8, EverySequenceOfOneOrTwoBytesIsJudgedAsByDecoding) {
  expect_same("");
  for (int a = 0; a < 256; ++a) {
    expect_same(std::string{static_cast<char>(a)});
    for (int b = 0; b < 256; ++b) {
      expect_same(std::string{static_cast<char>(a), static_cast<char>(b)});
    }
  }
}

TEST(Utf8, EverySequenceOfThreeOrFourEdgeBytesIsJudgedAsByDecoding) {
  const unsigned char edges[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
                                 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0,
                                 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xfe, 0xff};
  std::string text(4, '\0');
  for (const unsigned char a : edges) {
    for (const unsigned char b : edges) {
      for (const unsigned char c : edges) {
        for (const unsigned char d : edges) {
          text = {static_cast<char>(a), static_cast<char>(b), static_cast<char>(c),
                  static_cast<char>(d)};
          expect_same(text);
        }
        expect_same(std::string_view(text).substr(0, 3));
      }
    }
  }
}

}  // namespace
}  // namespace ringlog::record
