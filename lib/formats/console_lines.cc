#include "formats/console_lines.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "formats/utf8.h"

namespace ringlog::formats {

namespace {

constexpr char32_t kEscapeCharacter = 0x1b;
constexpr char32_t kBell = 0x07;
// Longest list of numbers of a sequence that is kept; longer ones are colours at best.
constexpr size_t kParametersMax = 64;

void append_utf8(char32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c);
    return;
  }
  const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  constexpr std::array<unsigned, 4> kLead = {0, 0xc0, 0xe0, 0xf0};
  out += static_cast<char>(kLead[static_cast<size_t>(more)] | c >> (6 * more));
  for (int i = more - 1; i >= 0; --i) out += static_cast<char>(0x80 | (c >> (6 * i) & 0x3f));
}

// Calls `visit` for each character of well-formed UTF-8.
template <typename Visit>
void for_each_character(std::string_view text, Visit visit) {
  for (size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at++]);
    const int more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    char32_t c = more == 0 ? lead : lead & (0x3fU >> more);
    for (int i = 0; i < more && at < text.size(); ++i) {
      c = c << 6 | (static_cast<unsigned char>(text[at++]) & 0x3fU);
    }
    visit(c);
  }
}

// The number of a sequence that has at most one.
size_t number_in(const std::string& parameters, size_t otherwise) {
  size_t number = 0;
  const auto [end, error] =
      std::from_chars(parameters.data(), parameters.data() + parameters.size(), number);
  return error == std::errc() ? number : otherwise;
}

}  // namespace

ConsoleLines::Line& ConsoleLines::touch(Screen& screen) {
  Line& line = screen.lines[screen.row];
  line.stamp = ++stamp_;
  line.time_ns = time_ns_;
  return line;
}

void ConsoleLines::put(Screen& screen, char32_t c) {
  if (screen.column >= kConsoleColumnsMax) next_line(screen);
  std::u32string& cells = touch(screen).cells;
  if (screen.column >= cells.size()) cells.resize(screen.column + 1, U' ');
  cells[screen.column++] = c;
}

void ConsoleLines::next_line(Screen& screen) {
  if (screen.lines[screen.row].stamp == 0) touch(screen);
  screen.column = 0;
  if (++screen.row == screen.lines.size()) screen.lines.emplace_back();
}

// A program that draws a whole screen anew: what was there stays, the new one comes below it.
void ConsoleLines::start_over(Screen& screen) {
  screen.row = screen.lines.size() - 1;
  if (screen.lines[screen.row].stamp != 0) next_line(screen);
  screen.column = 0;
}

void ConsoleLines::erase(Screen& screen, char what, size_t how) {
  std::u32string& cells = touch(screen).cells;
  if (how == 0) cells.resize(std::min(cells.size(), screen.column));
  if (how == 1) std::fill_n(cells.begin(), std::min(cells.size(), screen.column + 1), U' ');
  if (how == 2 && what == 'K') cells.clear();
  if (what != 'J' || how != 0) return;
  for (size_t i = screen.row + 1; i < screen.lines.size(); ++i) screen.lines[i].cells.clear();
}

void ConsoleLines::move_down(Screen& screen, size_t count) {
  const size_t last = screen.lines.size() - 1;
  screen.row = std::min(screen.row + std::min(count, last), last);
}

void ConsoleLines::save_cursor(Screen& screen) {
  screen.saved_row = screen.row;
  screen.saved_column = screen.column;
}

// Of a line that has been visited since the oldest one that is left stands in.
void ConsoleLines::restore_cursor(Screen& screen) {
  screen.row = std::min(screen.saved_row, screen.lines.size() - 1);
  screen.column = screen.saved_column;
}

void ConsoleLines::take_sequence(Screen& screen, char final) {
  const size_t count = std::max<size_t>(number_in(screen.parameters, 1), 1);
  switch (final) {
    case 'A':
      screen.row -= std::min(screen.row, count);
      return;
    case 'B':
      return move_down(screen, count);
    case 'E':
      screen.column = 0;
      return move_down(screen, count);
    case 'F':
      screen.column = 0;
      screen.row -= std::min(screen.row, count);
      return;
    case 's':
    case 'u':
      // With parameters they are about modes and keyboards.
      if (!screen.parameters.empty()) return;
      return final == 's' ? save_cursor(screen) : restore_cursor(screen);
    case 'C':
      screen.column =
          std::min(screen.column + std::min(count, kConsoleColumnsMax), kConsoleColumnsMax - 1);
      return;
    case 'D':
      screen.column -= std::min(screen.column, count);
      return;
    case 'G':
      screen.column = std::min(count, kConsoleColumnsMax) - 1;
      return;
    case 'H':
    case 'f':
      return start_over(screen);
    case 'J':
    case 'K': {
      const size_t how = number_in(screen.parameters, 0);
      return final == 'J' && how >= 2 ? start_over(screen) : erase(screen, final, how);
    }
    default:
      return;  // colours, modes and the like
  }
}

void ConsoleLines::take_escape(Screen& screen, char32_t c) {
  screen.state = State::kText;
  if (c == U'[') {
    screen.parameters.clear();
    screen.state = State::kSequence;
  } else if (c == U']' || c == U'P' || c == U'_' || c == U'^' || c == U'X') {
    screen.state = State::kString;
  } else if (c == U'(' || c == U')') {
    screen.state = State::kCharset;
  } else if (c == U'7') {
    save_cursor(screen);
  } else if (c == U'8') {
    restore_cursor(screen);
  }
}

void ConsoleLines::take_control(Screen& screen, char32_t c) {
  switch (c) {
    case U'\n':
      return next_line(screen);
    case U'\r':
      screen.column = 0;
      return;
    case U'\b':
      screen.column -= std::min<size_t>(screen.column, 1);
      return;
    case U'\t':
      return put(screen, c);
    case kEscapeCharacter:
      screen.state = State::kEscape;
      return;
    default:
      return;
  }
}

void ConsoleLines::take(Screen& screen, char32_t c) {
  switch (screen.state) {
    case State::kText:
      if (c < 0x20) return take_control(screen, c);
      if (c < 0x7f || c >= 0xa0) put(screen, c);
      return;
    case State::kEscape:
      return take_escape(screen, c);
    case State::kCharset:
      screen.state = State::kText;
      return;
    case State::kSequence:
      if (c < 0x20 || c > 0x7e) {
        // Not a sequence after all; a line's end among them must not be lost.
        screen.state = State::kText;
        return take_control(screen, c);
      }
      if (c < 0x40) {
        if (screen.parameters.size() < kParametersMax) {
          screen.parameters += static_cast<char>(c);
        }
        return;
      }
      screen.state = State::kText;
      return take_sequence(screen, static_cast<char>(c));
    case State::kString:
      if (c == kBell) screen.state = State::kText;
      if (c == kEscapeCharacter) screen.state = State::kStringEscape;
      if (c == U'\n') {
        screen.state = State::kText;
        next_line(screen);
      }
      return;
    case State::kStringEscape:
      screen.state = State::kText;
      if (c != U'\\') take_escape(screen, c);
      return;
  }
}

size_t ConsoleLines::finished_lines() const {
  return screens_[0].lines.size() + screens_[1].lines.size() - screens_.size();
}

// Visits the lines that changed longest ago until no more than `held_lines` are left.
void ConsoleLines::release(size_t held_lines, bool with_cursor, const Visitor& visitor) {
  for (size_t finished = finished_lines(); finished > held_lines || with_cursor; --finished) {
    Screen* from = nullptr;
    size_t oldest = 0;
    for (Screen& screen : screens_) {
      for (size_t i = 0; i < screen.lines.size(); ++i) {
        if (screen.lines[i].stamp == 0 || (i == screen.row && !with_cursor)) continue;
        if (from == nullptr || screen.lines[i].stamp < from->lines[oldest].stamp) {
          from = &screen;
          oldest = i;
        }
      }
    }
    if (from == nullptr) return;
    const Line& line = from->lines[oldest];
    ConsoleLine out{{}, from == &screens_[1], line.time_ns};
    for (const char32_t c : line.cells) append_utf8(c, out.text);
    from->lines.erase(from->lines.begin() + static_cast<std::ptrdiff_t>(oldest));
    if (from->row > oldest) --from->row;
    if (from->saved_row == oldest) from->saved_row = from->saved_column = 0;
    if (from->saved_row > oldest) --from->saved_row;
    visitor(std::move(out));
  }
}

void ConsoleLines::add(std::string_view bytes, bool is_stderr, int64_t time_ns,
                       const Visitor& visitor) {
  Screen& screen = screens_[is_stderr ? 1 : 0];
  time_ns_ = time_ns;
  screen.unfinished += bytes;
  const size_t size = screen.unfinished.size() - unfinished_utf8(screen.unfinished);
  const std::string text = clean_utf8(std::string_view(screen.unfinished).substr(0, size));
  screen.unfinished.erase(0, size);
  for_each_character(text, [&](char32_t c) {
    take(screen, c);
    if (finished_lines() > held_lines_) release(held_lines_, false, visitor);
  });
}

bool ConsoleLines::is_clean() const {
  return std::all_of(screens_.begin(), screens_.end(), [](const Screen& screen) {
    return screen.lines.size() == 1 && screen.lines.front().stamp == 0 && screen.column == 0 &&
           screen.saved_column == 0 && screen.state == State::kText && screen.unfinished.empty();
  });
}

void ConsoleLines::finish(const Visitor& visitor) {
  for (Screen& screen : screens_) {
    for_each_character(clean_utf8(screen.unfinished), [&](char32_t c) { take(screen, c); });
  }
  release(0, true, visitor);
  screens_ = {};
}

}  // namespace ringlog::formats
