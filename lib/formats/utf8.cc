#include "formats/utf8.h"

#include <algorithm>
#include <cstdint>

#include "record/path.h"

namespace ringlog::formats {

namespace {

// Bytes of the sequence that `lead` begins; 1 for what begins none.
size_t sequence_size(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf8 ? 4 : 1;
}

bool is_continuation(char c) { return (static_cast<uint8_t>(c) & 0xc0) == 0x80; }

}  // namespace

std::string clean_utf8(std::string_view text) {
  if (record::is_utf8(text)) return std::string(text);
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t size = std::min(sequence_size(text[i]), text.size() - i);
    if (record::is_utf8(text.substr(i, size))) {
      out += text.substr(i, size);
      i += size;
    } else {
      out += "\xef\xbf\xbd";
      ++i;
    }
  }
  return out;
}

size_t unfinished_utf8(std::string_view text) {
  const size_t longest = std::min<size_t>(3, text.size());
  for (size_t tail = 1; tail <= longest; ++tail) {
    const char c = text[text.size() - tail];
    if (is_continuation(c)) continue;
    return sequence_size(c) > tail ? tail : 0;
  }
  return 0;
}

}  // namespace ringlog::formats
