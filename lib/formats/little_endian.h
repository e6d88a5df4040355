#pragma once
// Integers as little-endian bytes, for file formats that want them so.
//
// Plain functions; safe from any thread.

#include <cstddef>
#include <string>

namespace ringlog::formats {

template <typename Unsigned>
void append_little_endian(std::string& out, Unsigned value) {
  for (size_t i = 0; i < sizeof(Unsigned); ++i) out += static_cast<char>((value >> (8 * i)) & 0xff);
}

}  // namespace ringlog::formats
