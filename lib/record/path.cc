#include "record/path.h"

#include <cstdint>

namespace ringlog::record {

void append_key(std::string& path, std::string_view key) {
  if (!path.empty()) path += kPathSeparator;
  for (const char c : key) {
    if (c == kPathSeparator || c == kPathEscape) {
      path += kPathEscape;
      path += c == kPathEscape ? '0' : '1';
    } else {
      path += c;
    }
  }
}

std::string join_path(const std::vector<std::string_view>& keys) {
  std::string path;
  for (const std::string_view key : keys) append_key(path, key);
  return path;
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> keys(1);
  for (size_t i = 0; i < path.size(); ++i) {
    const char next = i + 1 < path.size() ? path[i + 1] : '\0';
    if (path[i] == kPathSeparator) {
      keys.emplace_back();
    } else if (path[i] == kPathEscape && (next == '0' || next == '1')) {
      keys.back() += next == '0' ? kPathEscape : kPathSeparator;
      ++i;
    } else {
      keys.back() += path[i];
    }
  }
  return keys;
}

std::string display_path(std::string_view path) {
  std::string text;
  for (const std::string& key : split_path(path)) {
    if (!text.empty()) text += '.';
    text += key;
  }
  return text;
}

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<uint8_t>(text[i++]);
    if (byte < 0x80) continue;
    const int follow = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
    if (byte < 0xc2 || byte > 0xf4 || i + static_cast<size_t>(follow) > text.size()) return false;
    const auto second = static_cast<uint8_t>(text[i]);
    // The second byte excludes overlong forms, surrogates and what lies above U+10FFFF.
    if ((byte == 0xe0 && second < 0xa0) || (byte == 0xed && second > 0x9f) ||
        (byte == 0xf0 && second < 0x90) || (byte == 0xf4 && second > 0x8f)) {
      return false;
    }
    for (int k = 0; k < follow; ++k) {
      if ((static_cast<uint8_t>(text[i++]) & 0xc0) != 0x80) return false;
    }
  }
  return true;
}

}  // namespace ringlog::record
