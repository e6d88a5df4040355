#pragma once
// Rows as prebuilt Cap'n Proto messages: the hot path.
//
// A `Row` message (schema/record.capnp) with n values has the same pointer words whatever the
// values are, so writing one is a copy of constants and a patch of the rest, and reading one is a
// comparison of two words:
//
//   word 0   root pointer: struct, 2 data words, 1 pointer      constant
//   word 1   step
//   word 2   timeNs
//   word 3   list pointer: n words, directly behind             constant for n
//   word 4…  bits of value i
//
// Plain functions over the caller's memory; no state.  tests/record checks the words against the
// Cap'n Proto library itself.

#include "record/limits.h"
#include "shm/ring.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace ringlog::record {

inline constexpr uint64_t kRowRootPointer = uint64_t{2} << 32 | uint64_t{1} << 48;
constexpr uint64_t row_list_pointer(size_t key_count) {
  return uint64_t{1} | (uint64_t{5} | static_cast<uint64_t>(key_count) << 3) << 32;
}
// Ring bytes of a row, header included: 80 for four values.
constexpr uint32_t row_record_bytes(size_t key_count) {
  return shm::record_bytes(kRowPrefixSize + key_count * 8);
}

// What stays the same in all rows of one key set in one ring.
struct RowTemplate {
  uint16_t kind = 0;
  uint32_t key_count = 0;
  uint32_t bytes = 0;  // row_record_bytes()
};

// Writes header and message to `at`, which has room for `shape.bytes`; `bits` holds key_count
// words.
inline void write_row(std::byte* at, const RowTemplate& shape, uint64_t seq, uint64_t step,
                      int64_t time_ns, const uint64_t* bits) {
  const shm::RecordHeader header{shape.bytes, shape.kind, shm::kFlagRow, 2, seq};
  const uint64_t prefix[4] = {kRowRootPointer, step, static_cast<uint64_t>(time_ns),
                              row_list_pointer(shape.key_count)};
  std::memcpy(at, &header, sizeof header);
  std::memcpy(at + sizeof header, prefix, sizeof prefix);
  std::memcpy(at + sizeof header + sizeof prefix, bits, size_t{shape.key_count} * 8);
}

struct RowView {
  uint64_t step;
  int64_t time_ns;
  const std::byte* bits;  // key_count * 8 bytes, in the payload
};

// The row when its pointer words are the template's; nothing when a full reader has to look.
inline std::optional<RowView> read_row_fast(std::span<const std::byte> payload_untrusted,
                                            size_t key_count) {
  if (payload_untrusted.size() != kRowPrefixSize + key_count * 8) return std::nullopt;
  uint64_t prefix[4];
  std::memcpy(prefix, payload_untrusted.data(), sizeof prefix);
  if (prefix[0] != kRowRootPointer || prefix[3] != row_list_pointer(key_count)) return std::nullopt;
  return RowView{prefix[1], static_cast<int64_t>(prefix[2]),
                 payload_untrusted.data() + kRowPrefixSize};
}

}  // namespace ringlog::record
