#pragma once
// ConsoleText: the console of one process, from the pieces in which it was stored to text.
//
// Pieces end anywhere.  What comes out is UTF-8, characters are whole, wrong bytes are U+FFFD. With
// a label, for runs in which several processes talk, whole lines come out with "[label] " in front.
// A value of one thread; it holds at most kLineSizeMax bytes of a line.

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace ringlog::formats {

// Bytes of a line that does not end before a part of it is given out.
inline constexpr size_t kLineSizeMax = size_t{64} << 10;

class ConsoleText {
 public:
  // Text, and whether it is of standard error.
  using Visitor = std::function<void(std::string_view, bool)>;

  explicit ConsoleText(std::string label) : label_(std::move(label)) {}

  void add(std::string_view bytes, bool is_stderr, const Visitor& visitor);
  // Gives out what is left of both streams.
  void finish(const Visitor& visitor);

 private:
  void give(std::string_view bytes, bool is_stderr, const Visitor& visitor) const;

  std::string label_;                     // empty: text passes through as it comes
  std::array<std::string, 2> pending_{};  // of standard output and standard error
};

}  // namespace ringlog::formats
