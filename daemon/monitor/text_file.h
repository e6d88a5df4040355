#pragma once
// TextFile: small files of /proc and /sys, read whole, and what stands in them.
//
// Keeps its buffer, so that reading a file is three system calls and no allocation.  One thread.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringlog::service {

class TextFile {
 public:
  // The file's text, valid until the next call; nothing when it cannot be read.  A file above
  // 1 MiB is cut there.
  std::optional<std::string_view> read(const std::string& path);
  // The number that the file begins with.
  std::optional<double> read_number(const std::string& path);

 private:
  std::vector<char> buffer_ = std::vector<char>(4096);
};

// Takes the next word off `text`; empty: there is none.
std::string_view take_word(std::string_view& text);
// Takes the next line off `text`, without its end.
std::string_view take_line(std::string_view& text);
// A whole number at the beginning of `text`.
std::optional<uint64_t> to_number(std::string_view text);
// The number behind the word `key` of a file with a key and a value a line.
std::optional<uint64_t> number_of(std::string_view text, std::string_view key);

}  // namespace ringlog::service
