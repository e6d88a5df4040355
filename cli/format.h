#pragma once
// How values look to people: counts, sizes, ages, numbers, and text that is safe on a terminal.
//
// Plain functions of their arguments; safe from any thread.  Machines get --json instead.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ringlog::cli {

// 1234567 → "1,234,567".
std::string format_count(uint64_t count);
// "1 rank", "4 ranks".
std::string format_plural(uint64_t count, std::string_view noun);
// "512 B", "1.5 MiB".
std::string format_bytes(uint64_t bytes);
// How long ago, or how long: "now", "12 s", "3 min", "5 h", "2 d", "7 wk".
std::string format_age(int64_t age_ns);
// "3 min ago", "just now".
std::string format_ago(int64_t age_ns);
// "0.42 s", "12.3 s", "3 min 05 s", "2 h 07 min", "3 d 04 h".
std::string format_duration(int64_t duration_ns);
// Local time: "2026-08-22 14:03:11".
std::string format_time(int64_t time_ns);
// At most six significant digits, the shortest form: "0.0123", "1.93", "1.2e+30", "NaN".
std::string format_number(double value);
// The name of a signal: "SIGKILL", or "signal 99".
std::string signal_name(int signal);

// Escapes control characters, escape sequences and what is not UTF-8, so that a name somebody
// logged cannot move the cursor: "a\nb" → "a\\nb".
std::string printable(std::string_view text);
// Terminal columns that `text` takes: wide characters two, combining ones none.
size_t display_width(std::string_view text);
// `text` cut to at most `width` columns; the last one (two in ASCII) says that something is
// missing.
std::string shorten(std::string_view text, size_t width, bool is_ascii);
// A line with colours (style.h, paint) cut to at most `width` columns, without a mark; the colours
// of what is left end with it.
std::string clip(std::string_view line, size_t width);

}  // namespace ringlog::cli
