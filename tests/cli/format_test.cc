// What people read: counts, sizes, ages, and text that cannot harm a terminal.

#include "cli/format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ringlog::cli {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(Format, GroupsDigitsByThree) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(1234567), "1,234,567");
  EXPECT_EQ(format_count(std::numeric_limits<uint64_t>::max()), "18,446,744,073,709,551,615");
}

TEST(Format, CountsOneAndMany) {
  EXPECT_EQ(format_plural(1, "row"), "1 row");
  EXPECT_EQ(format_plural(0, "row"), "0 rows");
  EXPECT_EQ(format_plural(4000, "row"), "4,000 rows");
}

TEST(Format, PicksTheUnitOfBytes) {
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(uint64_t{1} << 20), "1.0 MiB");
  EXPECT_EQ(format_bytes((uint64_t{1} << 20) - 1), "1.0 MiB") << "never 1024.0 KiB";
  EXPECT_EQ(format_bytes(uint64_t{5} << 40), "5.0 TiB");
}

TEST(Format, TellsAges) {
  EXPECT_EQ(format_age(-5 * kSecond), "now") << "a clock that was set back";
  EXPECT_EQ(format_age(59 * kSecond), "59 s");
  EXPECT_EQ(format_age(60 * kSecond), "1 min");
  EXPECT_EQ(format_age(3600 * kSecond), "1 h");
  EXPECT_EQ(format_age(int64_t{47} * 3600 * kSecond), "47 h");
  EXPECT_EQ(format_age(int64_t{48} * 3600 * kSecond), "2 d");
  EXPECT_EQ(format_age(int64_t{14} * 24 * 3600 * kSecond), "2 wk");
}

TEST(Format, TellsHowLongAgo) {
  EXPECT_EQ(format_ago(0), "just now");
  EXPECT_EQ(format_ago(90 * kSecond), "1 min ago");
}

TEST(Format, TellsDurations) {
  EXPECT_EQ(format_duration(420'000'000), "0.42 s");
  EXPECT_EQ(format_duration(59'999'000'000), "59.9 s") << "never 60.0 s";
  EXPECT_EQ(format_duration(185 * kSecond), "3 min 05 s");
  EXPECT_EQ(format_duration(7620 * kSecond), "2 h 07 min");
  EXPECT_EQ(format_duration(int64_t{76} * 3600 * kSecond), "3 d 04 h");
}

TEST(Format, KeepsSixDigitsOfNumbers) {
  EXPECT_EQ(format_number(1.0 / 3), "0.333333");
  EXPECT_EQ(format_number(2), "2");
  EXPECT_EQ(format_number(1.25e30), "1.25e+30");
  EXPECT_EQ(format_number(std::nan("")), "NaN");
  EXPECT_EQ(format_number(-HUGE_VAL), "-Infinity");
}

TEST(Format, NamesSignals) {
  EXPECT_EQ(signal_name(9), "SIGKILL");
  EXPECT_EQ(signal_name(250), "signal 250");
}

TEST(Format, EscapesWhatWouldMoveTheCursor) {
  EXPECT_EQ(printable("loss"), "loss");
  EXPECT_EQ(printable("a\nb\tc\r"), "a\\nb\\tc\\r");
  EXPECT_EQ(printable("\x1b[31mred"), "\\x1b[31mred");
  EXPECT_EQ(printable("Größe · 損失"), "Größe · 損失");
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J"),
            "\\x9b2J")
      << "the one-character form of an escape sequence";
  EXPECT_EQ(printable("bad \xff\xc3"), "bad \\xff\\xc3");
}

TEST(Format, CountsColumnsNotBytes) {
  EXPECT_EQ(display_width("loss"), 4U);
  EXPECT_EQ(display_width("Größe"), 5U);
  EXPECT_EQ(display_width("\xff"), 1U);
}

TEST(Format, ShortensToTheWidthAndSaysSo) {
  EXPECT_EQ(shorten("metric", 6, false), "metric");
  EXPECT_EQ(shorten("metrics", 6, false), "metri…");
  EXPECT_EQ(shorten("metrics", 6, true), "metr..");
  EXPECT_EQ(shorten("Größen", 5, false), "Größ…");
  EXPECT_EQ(shorten("metrics", 1, false), "…");
  EXPECT_EQ(shorten("metrics", 1, true), ".");
  EXPECT_EQ(shorten("metrics", 0, true), "");
}

TEST(Format, ClipsALineWithItsColours) {
  EXPECT_EQ(clip("plain text", 5), "plain");
  EXPECT_EQ(clip("plain", 5), "plain");
  EXPECT_EQ(clip("a \x1b[31mred\x1b[0m end", 4), "a \x1b[31mre\x1b[0m");
  EXPECT_EQ(clip("a \x1b[31mred\x1b[0m end", 6), "a \x1b[31mred\x1b[0m ");
  EXPECT_EQ(clip("\xc3\xa4\xc3\xb6", 1), "\xc3\xa4");
  EXPECT_EQ(clip("abc", 0), "");
}

}  // namespace
}  // namespace ringlog::cli
