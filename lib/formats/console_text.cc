#include "formats/console_text.h"

#include "formats/utf8.h"

namespace ringlog::formats {

void ConsoleText::give(std::string_view bytes, bool is_stderr, const Visitor& visitor) const {
  if (bytes.empty()) return;
  if (label_.empty()) {
    visitor(clean_utf8(bytes), is_stderr);
    return;
  }
  std::string text;
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const std::string_view line = bytes.substr(0, end);
    text += "[" + label_ + "] " + clean_utf8(line) + '\n';
    bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
  }
  visitor(text, is_stderr);
}

void ConsoleText::add(std::string_view bytes, bool is_stderr, const Visitor& visitor) {
  std::string& pending = pending_[is_stderr ? 1 : 0];
  pending += bytes;
  size_t size = pending.size() - unfinished_utf8(pending);
  if (!label_.empty()) {
    const size_t line_end = pending.rfind('\n');
    if (line_end != std::string::npos) {
      size = line_end + 1;
    } else if (pending.size() < kLineSizeMax) {
      size = 0;
    }
  }
  give(std::string_view(pending).substr(0, size), is_stderr, visitor);
  pending.erase(0, size);
}

void ConsoleText::finish(const Visitor& visitor) {
  for (const bool is_stderr : {false, true}) {
    std::string& pending = pending_[is_stderr ? 1 : 0];
    give(pending, is_stderr, visitor);
    pending.clear();
  }
}

}  // namespace ringlog::formats
