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

#include <atomic>
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
  constexpr RowTemplate() = default;
  constexpr RowTemplate(uint16_t kind, size_t keys)
      : header(shm::header_word(row_record_bytes(keys), kind, shm::kFlagRow)),
        list_pointer(row_list_pointer(keys)),
        bytes(row_record_bytes(keys)),
        key_count(static_cast<uint32_t>(keys)) {}

  uint16_t kind() const { return static_cast<uint16_t>(header >> 32); }

  uint64_t header = 0;        // the record header's first word
  uint64_t list_pointer = 0;  // of word 3
  uint32_t bytes = 0;         // row_record_bytes(); 0: no template
  uint32_t key_count = 0;
};

// Stores to a ring word by word.  What is copied was stored by the caller an instant ago, a double
// at a time, and a processor that loads two such words at once has to wait until both have left
// its store buffer: that costs more than all the words of a short row.  The stores are atomic only
// so that no compiler makes wider ones, or a call of memcpy, of them.
// ORDER tail: relaxed; RingWriter::commit() publishes them.
inline void store_word(std::byte* at, size_t index, uint64_t word) {
  std::atomic_ref<uint64_t>(*(reinterpret_cast<uint64_t*>(at) + index))
      .store(word, std::memory_order_relaxed);
}

// Above this many words a copy in wide steps is faster, whatever it waits for.
inline constexpr size_t kWordByWordMax = 16;

// Writes header and message to `at`, which has room for `shape.bytes` and the alignment of a word;
// `bits` holds key_count words.
inline void write_row(std::byte* at, const RowTemplate& shape, uint64_t seq, uint64_t step,
                      int64_t time_ns, const uint64_t* bits) {
  constexpr size_t kBits = (sizeof(shm::RecordHeader) + kRowPrefixSize) / 8;
  store_word(at, 0, shape.header);
  store_word(at, 1, seq);
  store_word(at, 2, kRowRootPointer);
  store_word(at, 3, step);
  store_word(at, 4, static_cast<uint64_t>(time_ns));
  store_word(at, 5, shape.list_pointer);
  const size_t count = shape.key_count;
  if (count <= kWordByWordMax) {
    for (size_t i = 0; i < count; ++i) {
      uint64_t word;  // the caller's doubles, which may not be read as another type
      std::memcpy(&word, bits + i, sizeof word);
      store_word(at, kBits + i, word);
    }
  } else {
    std::memcpy(at + kBits * 8, bits, count * 8);
  }
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
