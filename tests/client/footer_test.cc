// The footer: what a terminal shows of a run that is finished.

#include "client/footer.h"

#include "record/message.h"

#include <gtest/gtest.h>

#include <clocale>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "schema/reply.capnp.h"

namespace ringlog::client {
namespace {

struct Line {
  std::string name;
  std::string value;
  std::vector<double> points{};
};

std::string reply_of(const std::vector<Line>& lines, uint32_t left_out = 0) {
  capnp::MallocMessageBuilder message;
  auto footer = message.initRoot<schema::Reply>().initFooter();
  footer.setLeftOut(left_out);
  auto out = footer.initLines(static_cast<capnp::uint>(lines.size()));
  for (capnp::uint i = 0; i < out.size(); ++i) {
    out[i].setName(lines[i].name.c_str());
    out[i].setValue(lines[i].value.c_str());
    auto points = out[i].initPoints(static_cast<capnp::uint>(lines[i].points.size()));
    for (capnp::uint k = 0; k < points.size(); ++k) points.set(k, lines[i].points[k]);
  }
  const record::Words words = record::to_words(message);
  return {reinterpret_cast<const char*>(words.data()), words.size() * 8};
}

TEST(Footer, HasNamesCurvesAndLastValuesInColumns) {
  const std::string reply = reply_of({{"acc", "0.93000000000000005", {0, 0.5, 0.93}},
                                      {"train/loss", "2.0", {3, 2}},
                                      {"note", "\"well\""}},
                                     3);
  EXPECT_EQ(footer_text(reply, true),
            "  acc         ▁▅█  0.93\n"
            "  train/loss  █▁   2\n"
            "  note             \"well\"\n"
            "  and 3 more\n");
  EXPECT_EQ(footer_text(reply, false),
            "  acc         0.93\n"
            "  train/loss  2\n"
            "  note        \"well\"\n"
            "  and 3 more\n");
}

TEST(Footer, NoValueBreaksACurve) {
  constexpr double kMax = std::numeric_limits<double>::max();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(footer_text(reply_of({{"a", "1.0", {-kMax, kMax}}}), true), "  a  ▁█  1\n");
  EXPECT_EQ(footer_text(reply_of({{"a", "NaN", {1, kNan, kInfinity, 2}}}), true),
            "  a  ▁  █  nan\n");
  EXPECT_EQ(footer_text(reply_of({{"a", "7.0", {7, 7}}}), true), "  a  ▁▁  7\n");
  EXPECT_EQ(footer_text(reply_of({{"a", "", {kNan}}}), true), "  a\n");
}

TEST(Footer, WholeNumbersAreWholeAndFloatsShort) {
  for (const auto& [json, text] : std::vector<std::pair<std::string, std::string>>{
           {"-9223372036854775808", "-9223372036854775808"},
           {"12345678", "12345678"},
           {"18446744073709551615", "18446744073709551615"},
           {"12345678.0", "1.23457e+07"},
           {"-0.0", "-0"},
           {"-Infinity", "-inf"},
           {"1e-300", "1e-300"}}) {
    EXPECT_EQ(footer_text(reply_of({{"a", json}}), true), "  a  " + text + "\n");
  }
}

// A decimal comma is how the program shows numbers to its people, not how JSON is read.
TEST(Footer, DoesNotFollowTheProgramsLocale) {
  if (std::setlocale(LC_NUMERIC, "de_DE.UTF-8") == nullptr) GTEST_SKIP() << "no such locale";
  const std::string text = footer_text(reply_of({{"a", "0.93000000000000005"}}), true);
  std::setlocale(LC_NUMERIC, "C");
  EXPECT_EQ(text, "  a  0.93\n");
}

TEST(Footer, IsNarrowAndMovesNoCursor) {
  const std::string reply = reply_of(
      {{std::string(200, 'n') + "\x1b[2J", "\"\x1b[2J\"", std::vector<double>(1000, 1.0)}});
  const std::string text = footer_text(reply, true);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find(std::string(40, 'n') + ".."), std::string::npos);
  size_t bars = 0;
  for (size_t at = text.find("▁"); at != std::string::npos; at = text.find("▁", at + 3)) ++bars;
  EXPECT_EQ(bars, 40u);
}

TEST(Footer, OfSomethingElseIsEmpty) {
  EXPECT_EQ(footer_text("", true), "");
  EXPECT_EQ(footer_text(std::string(64, '\xff'), true), "");
  EXPECT_EQ(footer_text(reply_of({}), true), "");
}

}  // namespace
}  // namespace ringlog::client
