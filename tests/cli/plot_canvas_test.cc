// Dots land where they should, and lines have no holes.

#include "cli/plot_canvas.h"

#include <gtest/gtest.h>

namespace ringlog::cli {
namespace {

TEST(PlotCanvas, PutsEachDotOfABraillePattern) {
  // From the bottom left dot to the top right one.
  const struct {
    int64_t x, y;
    const char* glyph;
  } kDots[] = {{0, 0, "⡀"}, {0, 1, "⠄"}, {0, 2, "⠂"}, {0, 3, "⠁"},
               {1, 0, "⢀"}, {1, 1, "⠠"}, {1, 2, "⠐"}, {1, 3, "⠈"}};
  for (const auto& dot : kDots) {
    PlotCanvas canvas(1, 1, false);
    canvas.set({dot.x, dot.y}, Ink::kPlain);
    EXPECT_EQ(canvas.text(0, {}), dot.glyph) << dot.x << "," << dot.y;
  }
}

TEST(PlotCanvas, CombinesDotsOfOneCharacter) {
  PlotCanvas canvas(1, 1, false);
  for (int64_t x = 0; x < 2; ++x) {
    for (int64_t y = 0; y < 4; ++y) canvas.set({x, y}, Ink::kPlain);
  }
  EXPECT_EQ(canvas.text(0, {}), "⣿");
}

TEST(PlotCanvas, HasTwoDotsACharacterInAscii) {
  PlotCanvas canvas(3, 1, true);
  EXPECT_EQ(canvas.dots_x(), 3U);
  EXPECT_EQ(canvas.dots_y(), 2U);
  canvas.set({0, 1}, Ink::kPlain);
  canvas.set({1, 0}, Ink::kPlain);
  canvas.line({2, 0}, {2, 1}, Ink::kPlain);
  EXPECT_EQ(canvas.text(0, {}), "'.:");
}

TEST(PlotCanvas, CutsOffWhatLiesOutside) {
  PlotCanvas canvas(2, 1, true);
  canvas.set({-1, 0}, Ink::kPlain);
  canvas.set({0, 2}, Ink::kPlain);
  canvas.line({-4, 0}, {8, 0}, Ink::kPlain);
  EXPECT_EQ(canvas.text(0, {}), "..");
}

TEST(PlotCanvas, DrawsLinesWithoutHolesInEveryDirection) {
  constexpr int64_t kSize = 17;
  for (int64_t x = 0; x < kSize; ++x) {
    PlotCanvas canvas(kSize, kSize, true);
    canvas.line({x, 0}, {kSize - 1 - x, 2 * kSize - 1}, Ink::kPlain);
    for (size_t line = 0; line < kSize; ++line) {
      EXPECT_NE(canvas.text(line, {}), "") << "from x = " << x << ", line " << line;
    }
  }
}

TEST(PlotCanvas, EndsALineAtItsLastDotAndColoursStretches) {
  PlotCanvas canvas(8, 1, true);
  canvas.line({0, 0}, {1, 0}, Ink::kRed);
  canvas.line({2, 0}, {3, 0}, Ink::kGreen);
  EXPECT_EQ(canvas.text(0, {}), "....");
  Style style;
  style.has_colour = true;
  EXPECT_EQ(canvas.text(0, style), "\x1b[31m..\x1b[0m\x1b[32m..\x1b[0m");
}

}  // namespace
}  // namespace ringlog::cli
