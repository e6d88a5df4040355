#pragma once
// UTF-8 for formats whose readers refuse a whole record over one wrong byte.
//
// Plain functions; safe from any thread.

#include <cstddef>
#include <string>
#include <string_view>

namespace ringlog::formats {

// The text with U+FFFD for each byte that is not part of well-formed UTF-8.
std::string clean_utf8(std::string_view text);

// How many bytes at the end of `text` may be the beginning of a character that goes on: 0 to 3.
size_t unfinished_utf8(std::string_view text);

}  // namespace ringlog::formats
