#include "formats/console_text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringlog::formats {
namespace {

// What came out, standard error in angle brackets.
class Collector {
 public:
  ConsoleText::Visitor visitor() {
    return [this](std::string_view text, bool is_stderr) {
      texts.push_back(is_stderr ? "<" + std::string(text) + ">" : std::string(text));
    };
  }
  std::vector<std::string> texts;
};

TEST(ConsoleText, PassesPiecesOnAsTheyCome) {
  Collector out;
  ConsoleText console("");
  console.add("no end", false, out.visitor());
  console.add("of line\n", true, out.visitor());
  console.finish(out.visitor());
  EXPECT_EQ(out.texts, (std::vector<std::string>{"no end", "<of line\n>"}));
}

TEST(ConsoleText, ACharacterCutInTwoComesOutWhole) {
  Collector out;
  ConsoleText console("");
  console.add("caf\xc3", false, out.visitor());
  console.add("meanwhile", true, out.visitor());
  console.add("\xa9", false, out.visitor());
  console.add("\xc3", false, out.visitor());
  console.finish(out.visitor());
  EXPECT_EQ(out.texts,
            (std::vector<std::string>{"caf", "<meanwhile>", "\xc3\xa9", "\xef\xbf\xbd"}));
}

TEST(ConsoleText, WithALabelWholeLinesCarryIt) {
  Collector out;
  ConsoleText console("rank1");
  console.add("first\nsec", false, out.visitor());
  console.add("ond\n\nlast", false, out.visitor());
  console.finish(out.visitor());
  EXPECT_EQ(out.texts, (std::vector<std::string>{"[rank1] first\n", "[rank1] second\n[rank1] \n",
                                                 "[rank1] last\n"}));
}

TEST(ConsoleText, ALineWithoutEndIsGivenOutInParts) {
  Collector out;
  ConsoleText console("rank1");
  console.add(std::string(kLineSizeMax, 'x'), false, out.visitor());
  ASSERT_EQ(out.texts.size(), 1U);
  EXPECT_EQ(out.texts[0].size(), kLineSizeMax + std::string("[rank1] \n").size());
}

}  // namespace
}  // namespace ringlog::formats
