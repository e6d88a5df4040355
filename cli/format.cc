#include "cli/format.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <string.h>  // NOLINT(modernize-deprecated-headers): sigabbrev_np
#include <wchar.h>   // NOLINT(modernize-deprecated-headers): wcwidth

#include <array>
#include <cmath>
#include <ctime>

#include "record/path.h"

namespace ringlog::cli {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;

struct Character {
  char32_t code = 0;
  size_t size = 1;        // bytes
  bool is_valid = false;  // well-formed UTF-8
};

// The character at the front of `text`, which is not empty.
Character first_character(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) return {lead, 1, true};
  const size_t size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (size > text.size() || !record::is_utf8(text.substr(0, size))) return {};
  char32_t code = static_cast<char32_t>(lead & (0xff >> (size + 1)));
  for (size_t i = 1; i < size; ++i) {
    code = code << 6 | static_cast<char32_t>(static_cast<uint8_t>(text[i]) & 0x3f);
  }
  return {code, size, true};
}

size_t width_of(char32_t code) {
  if (code < 0x80) return 1;
  // In a locale without Unicode wcwidth() knows no such character; one column is the best guess.
  const int width = ::wcwidth(static_cast<wchar_t>(code));
  return width < 0 ? 1 : static_cast<size_t>(width);
}

bool is_control(char32_t code) { return code < 0x20 || (code >= 0x7f && code < 0xa0); }

}  // namespace

std::string format_count(uint64_t count) {
  std::string text = std::to_string(count);
  for (size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, 1, ',');
  return text;
}

std::string format_plural(uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", format_count(count), noun, count == 1 ? "" : "s");
}

std::string format_bytes(uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  // 1023.95 would be printed as 1024.0.
  while (value >= 1023.95 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string format_age(int64_t age_ns) {
  if (age_ns < kSecond) return "now";
  if (age_ns < kMinute) return fmt::format("{} s", age_ns / kSecond);
  if (age_ns < kHour) return fmt::format("{} min", age_ns / kMinute);
  if (age_ns < 2 * kDay) return fmt::format("{} h", age_ns / kHour);
  if (age_ns < 14 * kDay) return fmt::format("{} d", age_ns / kDay);
  return fmt::format("{} wk", age_ns / (7 * kDay));
}

std::string format_ago(int64_t age_ns) {
  return age_ns < kSecond ? "just now" : format_age(age_ns) + " ago";
}

std::string format_duration(int64_t duration_ns) {
  if (duration_ns < 10 * kSecond) {
    return fmt::format("{:.2f} s", static_cast<double>(duration_ns) / 1e9);
  }
  if (duration_ns < kMinute) {
    return fmt::format("{:.1f} s", std::floor(static_cast<double>(duration_ns) / 1e8) / 10);
  }
  if (duration_ns < kHour) {
    return fmt::format("{} min {:02} s", duration_ns / kMinute, duration_ns % kMinute / kSecond);
  }
  if (duration_ns < kDay) {
    return fmt::format("{} h {:02} min", duration_ns / kHour, duration_ns % kHour / kMinute);
  }
  return fmt::format("{} d {:02} h", duration_ns / kDay, duration_ns % kDay / kHour);
}

std::string format_time(int64_t time_ns) {
  const std::time_t seconds = time_ns / kSecond;
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", local);
}

std::string format_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return fmt::format("{:.6g}", value);
}

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name == nullptr ? fmt::format("signal {}", signal) : fmt::format("SIG{}", name);
}

std::string printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const Character character = first_character(text.substr(i));
    const auto byte = static_cast<unsigned>(static_cast<uint8_t>(text[i]));
    if (!character.is_valid) {
      out += fmt::format("\\x{:02x}", byte);
    } else if (character.code == '\n') {
      out += "\\n";
    } else if (character.code == '\t') {
      out += "\\t";
    } else if (character.code == '\r') {
      out += "\\r";
    } else if (is_control(character.code)) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(character.code));
    } else {
      out += text.substr(i, character.size);
    }
    i += character.size;
  }
  return out;
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size();) {
    const Character character = first_character(text.substr(i));
    width += character.is_valid ? width_of(character.code) : 1;
    i += character.size;
  }
  return width;
}

std::string shorten(std::string_view text, size_t width, bool is_ascii) {
  if (display_width(text) <= width) return std::string(text);
  const std::string_view mark = is_ascii ? ".." : "…";
  const size_t mark_width = is_ascii ? 2 : 1;
  if (width <= mark_width) return std::string(mark.substr(0, is_ascii ? width : mark.size()));
  size_t used = 0;
  size_t end = 0;
  while (end < text.size()) {
    const Character character = first_character(text.substr(end));
    const size_t next = character.is_valid ? width_of(character.code) : 1;
    if (used + next > width - mark_width) break;
    used += next;
    end += character.size;
  }
  return std::string(text.substr(0, end)).append(mark);
}

std::string clip(std::string_view line, size_t width) {
  constexpr std::string_view kPlainAgain = "\x1b[0m";
  size_t used = 0;
  bool is_painted = false;
  for (size_t i = 0; i < line.size();) {
    if (const std::string_view rest = line.substr(i); rest.starts_with("\x1b[")) {
      const size_t end = rest.find('m');
      if (end == std::string_view::npos) return std::string(line.substr(0, i));
      is_painted = !rest.starts_with(kPlainAgain);
      i += end + 1;
      continue;
    }
    const Character character = first_character(line.substr(i));
    used += character.is_valid ? width_of(character.code) : 1;
    if (used > width) {
      return std::string(line.substr(0, i)).append(is_painted ? kPlainAgain : "");
    }
    i += character.size;
  }
  return std::string(line);
}

}  // namespace ringlog::cli
