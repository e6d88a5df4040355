#pragma once
// A canvas of dots made of characters: Braille patterns (2 × 4 dots each), or in ASCII ' . and :
// (1 × 2 dots each).
//
// A value type of one thread.  Dots count from the left and from the bottom; drawing outside is cut
// off.  A character has one colour, that of the dot drawn last.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/style.h"

namespace ringlog::cli {

class PlotCanvas {
 public:
  PlotCanvas(size_t columns, size_t lines, bool is_ascii);

  size_t columns() const { return columns_; }
  size_t lines() const { return lines_; }
  // Size in dots.
  size_t dots_x() const { return columns_ * dots_per_column_; }
  size_t dots_y() const { return lines_ * dots_per_line_; }

  struct Dot {
    int64_t x = 0;
    int64_t y = 0;
  };
  void set(Dot dot, Ink ink);
  // A straight line, both ends included.
  void line(Dot from, Dot to, Ink ink);

  // One line of characters, 0 the top one, without trailing spaces.
  std::string text(size_t line, const Style& style) const;

 private:
  struct Cell {
    uint8_t bits = 0;
    Ink ink = Ink::kPlain;
  };
  std::string glyph(uint8_t bits) const;

  size_t columns_;
  size_t lines_;
  bool is_ascii_;
  size_t dots_per_column_;
  size_t dots_per_line_;
  std::vector<Cell> cells_;  // line by line from the top
};

}  // namespace ringlog::cli
