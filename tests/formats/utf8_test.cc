#include "formats/utf8.h"

#include <gtest/gtest.h>

#include <string>

#include "record/path.h"
#include "seed.h"

namespace ringlog::formats {
namespace {

TEST(Utf8, WellFormedTextStaysAsItIs) {
  EXPECT_EQ(clean_utf8(""), "");
  EXPECT_EQ(clean_utf8("caf\xc3\xa9 \xf0\x9f\xa6\x94"), "caf\xc3\xa9 \xf0\x9f\xa6\x94");
}

TEST(Utf8, EachWrongByteBecomesAReplacementCharacter) {
  EXPECT_EQ(clean_utf8("a\xff"
                       "b"),
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(clean_utf8("\xc3"), "\xef\xbf\xbd");
  EXPECT_EQ(clean_utf8("\xe2\x82(\xe2\x82\xac"), "\xef\xbf\xbd\xef\xbf\xbd(\xe2\x82\xac");
}

TEST(Utf8, AnyBytesBecomeWellFormedText) {
  test::Random random(test::seed());
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (uint64_t size = random.below(12); size > 0; --size) {
      bytes += static_cast<char>(random.bits());
    }
    EXPECT_TRUE(record::is_utf8(clean_utf8(bytes))) << testing::PrintToString(bytes);
  }
}

TEST(Utf8, ACharacterCutShortIsFoundAtEveryCut) {
  const std::string text = "\xf0\x9f\xa6\x94";
  EXPECT_EQ(unfinished_utf8("a"), 0U);
  EXPECT_EQ(unfinished_utf8(""), 0U);
  for (size_t size = 1; size < text.size(); ++size) {
    EXPECT_EQ(unfinished_utf8("a" + text.substr(0, size)), size);
  }
  EXPECT_EQ(unfinished_utf8("a" + text), 0U);
  EXPECT_EQ(unfinished_utf8("\xff"), 0U);
  EXPECT_EQ(unfinished_utf8("\x80\x80\x80\x80"), 0U);
}

}  // namespace
}  // namespace ringlog::formats
