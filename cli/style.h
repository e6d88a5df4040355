#pragma once
// What the terminal can show: colour or not, Unicode or not, how wide.
//
// Plain values, decided once in main() and handed to whatever draws.

#include <cstddef>
#include <string>
#include <string_view>

namespace ringlog::cli {

// Foreground colours and weights, by their ANSI codes.
enum class Ink : int {
  kPlain = 0,
  kBold = 1,
  kDim = 2,
  kRed = 31,
  kGreen = 32,
  kYellow = 33,
  kBlue = 34,
  kMagenta = 35,
  kCyan = 36,
  kGrey = 90,
  kBrightRed = 91,
  kBrightGreen = 92,
  kBrightYellow = 93,
  kBrightBlue = 94,
  kBrightMagenta = 95,
  kBrightCyan = 96,
};

struct Style {
  bool has_colour = false;
  bool is_ascii = true;
  // Columns and lines of the terminal; 80 × 24 when the output is none.
  size_t width = 80;
  size_t height = 24;
  // The output is a terminal: what does not fit is shortened.
  bool is_terminal = false;
  // It is one whose cursor can be moved, so that a page is drawn in place.
  bool has_cursor = false;
};

// `text` in that ink, or as it is without colour.
inline std::string paint(const Style& style, Ink ink, std::string_view text) {
  if (!style.has_colour || ink == Ink::kPlain || text.empty()) return std::string(text);
  return "\x1b[" + std::to_string(static_cast<int>(ink)) + "m" + std::string(text) + "\x1b[0m";
}

}  // namespace ringlog::cli
