#pragma once
// What the fuzzers share: taking a fuzzer's bytes apart, and checks that hold whatever they are.
//
// An Input is read from front to back by one thread and gives zeros behind its end, so that every
// input means something.  A check that fails ends the process: libFuzzer then keeps the input.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace ringlog::fuzz {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : left_(std::as_bytes(std::span(data, size))) {}

  bool is_empty() const { return left_.empty(); }
  // The next sizeof(T) bytes as a little-endian number.
  template <typename T>
  T take() {
    T value{};
    const auto bytes = take_bytes(sizeof value);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  // At most `size` bytes; fewer at the end.
  std::span<const std::byte> take_bytes(size_t size) {
    const auto taken = left_.first(std::min(size, left_.size()));
    left_ = left_.subspan(taken.size());
    return taken;
  }
  std::string take_text(size_t size) {
    const auto bytes = take_bytes(size);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::string rest() { return take_text(left_.size()); }

 private:
  std::span<const std::byte> left_;
};

// What an Input takes apart: the corpus is written with it.
class Output {
 public:
  template <typename T>
  Output& put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Output& text(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

inline void require(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

}  // namespace ringlog::fuzz
