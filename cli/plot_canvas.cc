#include "cli/plot_canvas.h"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace ringlog::cli {

namespace {

// The bit of a Braille pattern by column and by line from the top; the fourth line came late.
constexpr std::array<std::array<uint8_t, 4>, 2> kBrailleBits = {{
    {0x01, 0x02, 0x04, 0x40},
    {0x08, 0x10, 0x20, 0x80},
}};
constexpr std::array<std::string_view, 4> kAsciiGlyphs = {" ", "'", ".", ":"};

}  // namespace

PlotCanvas::PlotCanvas(size_t columns, size_t lines, bool is_ascii)
    : columns_(columns),
      lines_(lines),
      is_ascii_(is_ascii),
      dots_per_column_(is_ascii ? 1 : 2),
      dots_per_line_(is_ascii ? 2 : 4),
      cells_(columns * lines) {}

void PlotCanvas::set(Dot dot, Ink ink) {
  if (dot.x < 0 || dot.y < 0) return;
  const auto x = static_cast<size_t>(dot.x);
  const auto y = static_cast<size_t>(dot.y);
  if (x >= dots_x() || y >= dots_y()) return;
  const size_t from_top = dots_y() - 1 - y;
  Cell& cell = cells_[from_top / dots_per_line_ * columns_ + x / dots_per_column_];
  const size_t sub_line = from_top % dots_per_line_;
  const uint8_t bit = is_ascii_ ? static_cast<uint8_t>(1 << sub_line)
                                : kBrailleBits[x % dots_per_column_][sub_line];
  cell.bits = cell.bits | bit;
  cell.ink = ink;
}

void PlotCanvas::line(Dot from, Dot to, Ink ink) {
  // Callers draw between dots of one canvas, so the number of steps is bounded by its size.
  const int64_t steps = std::max(std::abs(to.x - from.x), std::abs(to.y - from.y));
  set(from, ink);
  for (int64_t i = 1; i <= steps; ++i) {
    // Rounded to the nearest dot, the same in both directions.
    const int64_t x = from.x + (2 * i * (to.x - from.x) + steps) / (2 * steps);
    const int64_t y = from.y + (2 * i * (to.y - from.y) + steps) / (2 * steps);
    set({x, y}, ink);
  }
}

std::string PlotCanvas::glyph(uint8_t bits) const {
  if (is_ascii_) return std::string(kAsciiGlyphs[bits]);
  if (bits == 0) return " ";
  // U+2800 + bits in UTF-8.
  return {'\xe2', static_cast<char>(0xa0 | bits >> 6), static_cast<char>(0x80 | (bits & 0x3f))};
}

std::string PlotCanvas::text(size_t line, const Style& style) const {
  const auto begin = cells_.begin() + static_cast<std::ptrdiff_t>(line * columns_);
  auto end = begin + static_cast<std::ptrdiff_t>(columns_);
  while (end != begin && (end - 1)->bits == 0) --end;
  std::string text;
  for (auto cell = begin; cell != end;) {
    // One colour sequence for a stretch of cells, or the output is mostly sequences.
    std::string stretch;
    const Ink ink = cell->ink;
    for (; cell != end && cell->ink == ink; ++cell) stretch += glyph(cell->bits);
    text += paint(style, ink, stretch);
  }
  return text;
}

}  // namespace ringlog::cli
