#pragma once
// Rows whose every value follows from which process and thread logged them and the how-manieth they
// are.  tests/support/rows.py has the same generator; they change together.
//
// Plain functions; safe from any thread.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

namespace e2e {

// Large rows travel as blobs: they are above a ring's record limit of 64 KiB.
inline constexpr size_t kLargeTextMin = 70'000;
inline constexpr size_t kLargeTextSpread = 60'000;

struct RowId {
  uint64_t process = 0;  // index in the ledger
  uint64_t thread = 0;   // index in the process
  uint64_t index = 0;    // the thread's rows, from 0
};

// Columns of word_of(): one per value of a row.
enum Column : uint64_t {
  kKindColumn,
  kFloat,
  kInteger,
  kBoolean,
  kUnsigned,
  kText,
  kListA,
  kListB
};

// How a row is logged; see log_row() in rank.cc.
enum class Kind { kNumbers, kRowHandle, kFree, kLarge };

// The finaliser of splitmix64.
constexpr uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

constexpr uint64_t word_of(const RowId& id, uint64_t column) {
  return mix(mix(mix(id.process << 32 | id.thread) ^ id.index) ^ column);
}

// Any float64: random bits, and often one of the values that are easily lost on the way.
constexpr double float_of(uint64_t word) {
  constexpr uint64_t kSign = uint64_t{1} << 63;
  constexpr uint64_t kInfinity = 0x7ff0000000000000;
  constexpr uint64_t kFraction = 0x000fffffffffffff;
  switch (mix(word) & 15) {
    case 0:  // a quiet NaN with sign and payload
      return std::bit_cast<double>((word & (kSign | kFraction)) | 0x7ff8000000000000);
    case 1:
      return std::bit_cast<double>((word & kSign) | kInfinity);
    case 2:
      return std::bit_cast<double>(word & kSign);  // 0.0 or -0.0
    case 3:
      return std::bit_cast<double>(word & (kSign | kFraction));  // denormal
    case 4:
      return static_cast<double>(static_cast<int32_t>(word >> 32));
    case 5:
      return static_cast<double>(word >> 11) * 0x1p-53;
    default:
      return std::bit_cast<double>(word);
  }
}

constexpr double float_of(const RowId& id, uint64_t column) {
  return float_of(word_of(id, column));
}

constexpr Kind kind_of(const RowId& id, bool is_mixed) {
  if (!is_mixed) return Kind::kNumbers;
  const uint64_t word = word_of(id, kKindColumn);
  if (word % 64 < 48) return Kind::kNumbers;
  if (word % 64 < 61) return Kind::kRowHandle;
  return word >> 32 & 511 ? Kind::kFree : Kind::kLarge;
}

// Letters only, so that it looks the same in every format.
inline std::string text_of(const RowId& id, Kind kind) {
  const uint64_t word = word_of(id, kText);
  const size_t size = kind == Kind::kLarge ? kLargeTextMin + word % kLargeTextSpread : word % 200;
  std::string text(size, 'a');
  for (size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>('a' + ((word >> (i % 13) & 0xff) + i) % 26);
  }
  return text;
}

}  // namespace e2e
