#pragma once
// ConsoleLines: the console of one process, from the pieces in which it was stored to the lines
// that a person saw.
//
// What a terminal overwrites is overwritten: carriage returns, backspaces, erased lines and cursor
// moves leave one line of a progress bar, not a thousand.  Colours and titles go, wrong bytes
// become U+FFFD.  Standard output and standard error have a screen each, so that a bar on one is
// not torn by the lines of the other; their lines come out in the order of their last change.
//
// A value of one thread.  It holds back `held_lines` finished lines, which a cursor that moves up
// may still change, and the two unfinished ones; a line ends at kConsoleColumnsMax.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>

namespace ringlog::formats {

// Characters of a line before the next one begins.
inline constexpr size_t kConsoleColumnsMax = size_t{16} << 10;
// Held back where nobody waits for the newest line: nested progress bars are not higher.
inline constexpr size_t kConsoleHeldLines = 64;

struct ConsoleLine {
  std::string text{};  // UTF-8 without control characters but tabs
  bool is_stderr = false;
  int64_t time_ns = 0;  // of the last change: nanoseconds since the Unix epoch
};

class ConsoleLines {
 public:
  using Visitor = std::function<void(ConsoleLine)>;

  explicit ConsoleLines(size_t held_lines) : held_lines_(held_lines) {}

  // A piece, which may end anywhere; visits the lines that are final now.
  void add(std::string_view bytes, bool is_stderr, int64_t time_ns, const Visitor& visitor);
  // Nothing is held back: what comes next depends on nothing that came.
  bool is_clean() const;
  // Visits what is left, unfinished lines too.
  void finish(const Visitor& visitor);

 private:
  struct Line {
    std::u32string cells{};
    uint64_t stamp = 0;  // of its last change, among both streams
    int64_t time_ns = 0;
  };
  enum class State : uint8_t { kText, kEscape, kCharset, kSequence, kString, kStringEscape };
  // What one stream shows: its lines that are not final, and the cursor.
  struct Screen {
    std::deque<Line> lines = std::deque<Line>(1);
    size_t row = 0;
    size_t column = 0;
    size_t saved_row = 0;
    size_t saved_column = 0;
    State state = State::kText;
    std::string parameters{};  // of the sequence that is being read
    std::string unfinished{};  // bytes of a character that goes on
  };

  Line& touch(Screen& screen);
  void take(Screen& screen, char32_t c);
  void take_control(Screen& screen, char32_t c);
  void take_escape(Screen& screen, char32_t c);
  void take_sequence(Screen& screen, char final);
  static void move_down(Screen& screen, size_t count);
  static void save_cursor(Screen& screen);
  static void restore_cursor(Screen& screen);
  void put(Screen& screen, char32_t c);
  void next_line(Screen& screen);
  void start_over(Screen& screen);
  void erase(Screen& screen, char what, size_t how);
  void release(size_t held_lines, bool with_cursor, const Visitor& visitor);
  size_t finished_lines() const;

  size_t held_lines_;
  uint64_t stamp_ = 0;
  int64_t time_ns_ = 0;
  std::array<Screen, 2> screens_{};  // of standard output and standard error
};

}  // namespace ringlog::formats
