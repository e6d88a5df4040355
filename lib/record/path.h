#pragma once
// Paths: the names of metrics inside nested objects.
//
// {"a": {"b": 1}} is the metric with the path a U+001F b, shown as "a.b".  The unit separator keeps
// it apart from a key that holds a dot.  The rare key that holds U+001F or U+001E itself is escaped
// with U+001E.  Plain functions; safe from any thread.

#include <string>
#include <string_view>
#include <vector>

namespace ringlog::record {

inline constexpr char kPathSeparator = '\x1f';
inline constexpr char kPathEscape = '\x1e';

// Appends `key` to `path` (a path so far; empty: none).
void append_key(std::string& path, std::string_view key);
std::string join_path(const std::vector<std::string_view>& keys);
// The keys, as the user wrote them.  Never fails: a malformed escape stands for itself.
std::vector<std::string> split_path(std::string_view path);
// For people: keys joined with dots.
std::string display_path(std::string_view path);

// True when `text` is well-formed UTF-8 (no overlong forms, no surrogates).
bool is_utf8(std::string_view text);

}  // namespace ringlog::record
