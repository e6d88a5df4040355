#include "formats/console_lines.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringlog::formats {
namespace {

using Texts = std::vector<std::string>;

// A program's output and what comes of it, standard error in angle brackets.
class Screen {
 public:
  explicit Screen(size_t held_lines = kConsoleHeldLines) : lines_(held_lines) {}

  Screen& out(std::string_view bytes) { return add(bytes, false); }
  Screen& err(std::string_view bytes) { return add(bytes, true); }
  const Texts& so_far() const { return texts_; }
  Texts end() {
    lines_.finish(visitor());
    return std::move(texts_);
  }
  const std::vector<int64_t>& times() const { return times_; }

 private:
  Screen& add(std::string_view bytes, bool is_stderr) {
    lines_.add(bytes, is_stderr, ++time_ns_, visitor());
    return *this;
  }
  ConsoleLines::Visitor visitor() {
    return [this](const ConsoleLine& line) {
      texts_.push_back(line.is_stderr ? "<" + line.text + ">" : line.text);
      times_.push_back(line.time_ns);
    };
  }

  ConsoleLines lines_;
  Texts texts_;
  std::vector<int64_t> times_;
  int64_t time_ns_ = 0;
};

TEST(ConsoleLines, AreTheLinesOfTheOutput) {
  EXPECT_EQ(Screen().out("one\ntwo\n\nfour").end(), (Texts{"one", "two", "", "four"}));
  EXPECT_EQ(Screen().out("from a terminal\r\nbelow\r\n").end(),
            (Texts{"from a terminal", "below"}));
  EXPECT_EQ(Screen().end(), Texts());
}

TEST(ConsoleLines, AProgressBarIsOneLine) {
  Screen screen;
  for (int i = 0; i <= 100; ++i) screen.err("\r" + std::to_string(i) + "%|####|");
  EXPECT_EQ(screen.err("\n").out("done\n").end(), (Texts{"<100%|####|>", "done"}));
}

TEST(ConsoleLines, WhatIsShorterLeavesTheRestOfWhatItOverwrites) {
  EXPECT_EQ(Screen().out("loading\rdone\n").end(), Texts{"doneing"});
  EXPECT_EQ(Screen().out("loading\r\x1b[Kdone\n").end(), Texts{"done"});
  EXPECT_EQ(Screen().out("loading\x1b[2K\rdone\n").end(), Texts{"done"});
  EXPECT_EQ(Screen().out("abc\b\bX\n").end(), Texts{"aXc"});
  EXPECT_EQ(Screen().out("abc\x1b[10Gk\x1b[2Gb\x1b[3C!\x1b[4D?\n").end(), Texts{"ab?  !   k"});
}

TEST(ConsoleLines, NestedBarsAreOneLineEach) {
  Screen screen;
  for (int epoch = 0; epoch < 3; ++epoch) {
    screen.err("\repoch " + std::to_string(epoch));
    for (int step = 0; step < 3; ++step) {
      screen.err("\n\rstep " + std::to_string(step) + "\x1b[A");
    }
  }
  EXPECT_EQ(screen.err("\n\n").end(), (Texts{"<epoch 2>", "<step 2>"}));
}

TEST(ConsoleLines, CursorsGoToOtherLinesAndComeBack) {
  EXPECT_EQ(Screen().out("one\ntwo\nthree\x1b[2FONE\x1b[ETWO\x1b[5EX\n").end(),
            (Texts{"ONE", "TWO", "Xhree"}));
  EXPECT_EQ(Screen()
                .out("a\nb \x1b"
                     "7\x1b[A!\x1b"
                     "8c\n")
                .end(),
            (Texts{"a !", "b c"}));
  EXPECT_EQ(Screen().out("a\nb \x1b[s\x1b[Fx\x1b[uc\n").end(), (Texts{"x", "b c"}));
  EXPECT_EQ(Screen().out("a \x1b[?1s\x1b[>1uc\n").end(), Texts{"a c"});
  EXPECT_EQ(Screen()
                .out("a\x1b[8mb\x1b"
                     "8c\n")
                .end(),
            Texts{"cb"})
      << "nothing was saved";
  // A line that was saved and has gone.
  Screen screen(2);
  screen.out("first\x1b[s\n");
  for (int i = 0; i < 5; ++i) screen.out(std::to_string(i) + "\n");
  EXPECT_EQ(screen.out("\x1b[u!").end(), (Texts{"first", "0", "1", "2", "4", "!"}));
}

TEST(ConsoleLines, ABarOnOneStreamIsNotTornByLinesOfTheOther) {
  Screen screen;
  screen.err("\r10%").out("epoch 1\n").err("\r20%").out("epoch 2\n").err("\r30%\n");
  EXPECT_EQ(screen.end(), (Texts{"epoch 1", "epoch 2", "<30%>"}));
}

TEST(ConsoleLines, StreamsKeepTheirOrder) {
  EXPECT_EQ(Screen().out("a\n").err("b\n").out("c\n").err("d").end(),
            (Texts{"a", "<b>", "c", "<d>"}));
}

TEST(ConsoleLines, ColoursAndTitlesGo) {
  EXPECT_EQ(Screen().out("\x1b[1;31mred\x1b[0m\x1b]0;title\x07!\x1b(B\x1b]8;;u\x1b\\l\n").end(),
            Texts{"red!l"});
  EXPECT_EQ(Screen().out("bell\x07 nul").out(std::string(1, '\0')).out("\tt\x7f\n").end(),
            Texts{"bell nul\tt"});
}

TEST(ConsoleLines, ASequenceThatNeverEndsLosesNoLine) {
  EXPECT_EQ(Screen().out("a\x1b[12\nb\x1b]title\nc\n").end(), (Texts{"a", "b", "c"}));
}

TEST(ConsoleLines, AScreenDrawnAnewStandsBelowTheOldOne) {
  EXPECT_EQ(Screen().out("\x1b[2J\x1b[Hone\ntwo\x1b[2J\x1b[Hthree\n").end(),
            (Texts{"one", "two", "three"}));
}

TEST(ConsoleLines, PiecesMayEndAnywhere) {
  const std::string text = "caf\xc3\xa9 \xe2\x82\xac\rC\n\x1b[31mb\xf0\x9f\x98\x80\x1b[0m \xff\n";
  const Texts whole = Screen().out(text).end();
  EXPECT_EQ(whole, (Texts{"Caf\xc3\xa9 \xe2\x82\xac", "b\xf0\x9f\x98\x80 \xef\xbf\xbd"}));
  Screen screen;
  for (const char c : text) screen.out(std::string_view(&c, 1));
  EXPECT_EQ(screen.end(), whole);
}

TEST(ConsoleLines, WithoutHeldLinesEachComesWhenItEnds) {
  Screen screen(0);
  EXPECT_EQ(screen.out("one\ntw").so_far(), Texts{"one"});
  EXPECT_EQ(screen.err("<\n").so_far(), (Texts{"one", "<<>"}));
  EXPECT_EQ(screen.out("o\n").so_far(), (Texts{"one", "<<>", "two"}));
  EXPECT_EQ(screen.times(), (std::vector<int64_t>{1, 2, 3}));
}

TEST(ConsoleLines, HoldsNoMoreThanItSays) {
  Screen screen(3);
  for (int i = 0; i < 100; ++i) screen.out(std::to_string(i) + "\n");
  EXPECT_EQ(screen.so_far().size(), 97U);
  EXPECT_EQ(screen.end().size(), 100U);
}

TEST(ConsoleLines, ALineWithoutAnEndIsCut) {
  const Texts texts =
      Screen().out(std::string(kConsoleColumnsMax, 'x')).out("y\x1b[999999999Cz\n").end();
  ASSERT_EQ(texts.size(), 2U);
  EXPECT_EQ(texts[0].size(), kConsoleColumnsMax);
  EXPECT_EQ(texts[1].front(), 'y');
  EXPECT_EQ(texts[1].back(), 'z');
}

}  // namespace
}  // namespace ringlog::formats
