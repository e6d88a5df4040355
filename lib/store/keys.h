#pragma once
// The keys of a store, as docs/store_format.md lists them.  Internal to lib/store.
//
// The first byte is the kind of the value; numbers are big-endian, so that bytewise order is
// numeric order.  Bulk data comes first and rises with the lsn, state that is overwritten comes
// last: a table of LevelDB then overlaps few older ones and they are not rewritten.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "store/model.h"

namespace ringlog::store {

namespace tag {
inline constexpr char kFormat = 0x01;
inline constexpr char kPage = 0x10;
inline constexpr char kChunk = 0x20;
inline constexpr char kRecord = 0x30;
inline constexpr char kStats = 0x38;
inline constexpr char kKeySet = 0x40;
inline constexpr char kBlob = 0x50;
inline constexpr char kState = static_cast<char>(0xF0);
// Second byte after kState.
inline constexpr char kCommit = 'C';
inline constexpr char kMeta = 'M';
inline constexpr char kProducer = 'P';
inline constexpr char kSink = 'W';
}  // namespace tag

template <typename Integer>
void append_be(std::string& out, Integer value) {
  for (size_t i = sizeof(Integer); i-- > 0;) out += static_cast<char>((value >> (8 * i)) & 0xff);
}

// The number in sizeof(Integer) bytes at `at`; requires that they are there.
template <typename Integer>
Integer read_be(std::string_view bytes, size_t at) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(Integer); ++i)
    value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return static_cast<Integer>(value);
}

namespace key {

inline std::string format() { return {tag::kFormat}; }

inline std::string page(uint64_t lsn, uint16_t page) {
  std::string key{tag::kPage};
  append_be(key, lsn);
  append_be(key, page);
  return key;
}

inline std::string chunk(uint64_t lsn) {
  std::string key{tag::kChunk};
  append_be(key, lsn);
  return key;
}

inline std::string record(uint64_t lsn) {
  std::string key{tag::kRecord};
  append_be(key, lsn);
  return key;
}

// By the time of its first sample.
inline std::string stats(int64_t time_ns) {
  std::string key{tag::kStats};
  append_be(key, static_cast<uint64_t>(time_ns < 0 ? 0 : time_ns));
  return key;
}

inline std::string key_set(uint32_t id) {
  std::string key{tag::kKeySet};
  append_be(key, id);
  return key;
}

// Of all blobs of a producer.
inline std::string blobs(uint32_t producer) {
  std::string key{tag::kBlob};
  append_be(key, producer);
  return key;
}

inline std::string blob(BlobId id) {
  std::string key = blobs(id.producer);
  append_be(key, id.id);
  return key;
}

// Its value: see CommitState.
inline std::string commit() { return {tag::kState, tag::kCommit}; }
inline std::string meta() { return {tag::kState, tag::kMeta}; }

inline std::string producer(uint32_t id) {
  std::string key{tag::kState, tag::kProducer};
  append_be(key, id);
  return key;
}

inline std::string sink(std::string_view name) {
  return std::string{tag::kState, tag::kSink}.append(name);
}

// The lsn of a page, chunk or record key; nothing when the key is not one of `kind`.
inline std::optional<uint64_t> lsn_of(std::string_view key, char kind) {
  if (key.size() < 9 || key[0] != kind) return std::nullopt;
  return read_be<uint64_t>(key, 1);
}

}  // namespace key

// What every commit leaves under key::commit().
struct CommitState {
  uint64_t number = 0;     // of the commit, from 1
  uint64_t final_lsn = 0;  // chunks below it are never deleted

  std::string to_bytes() const {
    std::string bytes;
    append_be(bytes, number);
    append_be(bytes, final_lsn);
    return bytes;
  }
  // Zeros when the bytes are not a commit's.
  static CommitState from_bytes(std::string_view bytes) {
    if (bytes.size() != 16) return {};
    return {read_be<uint64_t>(bytes, 0), read_be<uint64_t>(bytes, 8)};
  }
};

}  // namespace ringlog::store
