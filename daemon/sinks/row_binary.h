#pragma once
// RowBinary: rows as ClickHouse reads them in its format of that name: numbers little-endian, texts
// behind their length, nothing between the columns.
//
// Appends to a string of its own; one thread at a time.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ringlog::service {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they are");

class RowBinary {
 public:
  // Int*, UInt*, Float* and Enum8 (as int8_t).
  template <typename Number>
  void number(Number value) {
    const auto bytes = std::bit_cast<std::array<char, sizeof(Number)>>(value);
    bytes_.append(bytes.data(), bytes.size());
  }
  void size(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  void text(std::string_view value) {
    size(value.size());
    bytes_ += value;
  }
  void texts(const std::vector<std::string>& values) {
    size(values.size());
    for (const std::string& value : values) text(value);
  }
  // What another one has encoded.
  void raw(std::string_view encoded) { bytes_ += encoded; }

  size_t bytes() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  const std::string& view() const { return bytes_; }
  // The rows; it begins anew.
  std::string take() {
    std::string taken;
    taken.swap(bytes_);
    return taken;
  }

 private:
  std::string bytes_;
};

}  // namespace ringlog::service
