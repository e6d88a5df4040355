#include "store/scan.h"

#include <leveldb/iterator.h>

#include <memory>

#include "store/database.h"
#include "store/keys.h"

namespace ringlog::store {

namespace {

std::string_view view(const leveldb::Slice& slice) { return {slice.data(), slice.size()}; }

leveldb::ReadOptions read_options_verified() {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  return options;
}

std::unique_ptr<leveldb::Iterator> iterate(leveldb::DB& db) {
  return std::unique_ptr<leveldb::Iterator>(db.NewIterator(read_options_verified()));
}

// The last key that is not behind those of this kind.
void seek_to_last(leveldb::Iterator& it, char kind) {
  it.Seek(std::string{static_cast<char>(kind + 1)});
  if (it.Valid()) {
    it.Prev();
  } else if (it.status().ok()) {
    it.SeekToLast();
  }
}

}  // namespace

Status scan_prefix(leveldb::DB& db, const std::string& prefix, const KeyVisitor& visitor,
                   const std::string& begin) {
  const auto it = iterate(db);
  it->Seek(begin.empty() ? prefix : begin);
  for (; it->Valid() && view(it->key()).starts_with(prefix); it->Next()) {
    Result<bool> goes_on = visitor(view(it->key()), view(it->value()));
    if (!goes_on) return goes_on.take_error();
    if (!*goes_on) return Done{};
  }
  if (!it->status().ok()) return error_of(it->status(), "read");
  return Done{};
}

Result<std::string> get_value(leveldb::DB& db, const std::string& key) {
  std::string value;
  const leveldb::Status status = db.Get(read_options_verified(), key, &value);
  if (!status.ok()) return error_of(status, "read");
  return value;
}

Result<std::string> get_newest(leveldb::DB& db, const std::string& key) {
  const auto it = iterate(db);
  it->Seek(key);
  if (!it->status().ok()) return error_of(it->status(), "read");
  if (!it->Valid() || it->key() != key) return Error{Code::kNotFound, "read: no such key"};
  return it->value().ToString();
}

Result<std::optional<uint64_t>> last_lsn(leveldb::DB& db, char kind) {
  const auto it = iterate(db);
  seek_to_last(*it, kind);
  if (!it->status().ok()) return error_of(it->status(), "read");
  return it->Valid() ? key::lsn_of(view(it->key()), kind) : std::optional<uint64_t>();
}

Result<std::optional<std::string>> last_value(leveldb::DB& db, char kind) {
  const auto it = iterate(db);
  seek_to_last(*it, kind);
  if (!it->status().ok()) return error_of(it->status(), "read");
  if (!it->Valid() || it->key().empty() || it->key()[0] != kind)
    return std::optional<std::string>();
  return std::optional(it->value().ToString());
}

Result<std::vector<ProducerState>> read_producers(leveldb::DB& db) {
  std::vector<ProducerState> out;
  Status read = scan_prefix(db, {tag::kState, tag::kProducer},
                            [&](std::string_view, std::string_view value) -> Result<bool> {
                              Result<ProducerState> producer = from_bytes<ProducerState>(value);
                              if (!producer) return producer.take_error();
                              out.push_back(std::move(*producer));
                              return true;
                            });
  if (!read) return read.take_error();
  return out;
}

Result<std::vector<KeySet>> read_key_sets(leveldb::DB& db) {
  std::vector<KeySet> out;
  Status read = scan_prefix(db, {tag::kKeySet},
                            [&](std::string_view key, std::string_view value) -> Result<bool> {
                              Result<KeySet> keys = from_bytes<KeySet>(value);
                              if (!keys) return keys.take_error();
                              if (key.size() != 5) {
                                return Error{Code::kCorrupt, "key set: its key is odd"};
                              }
                              keys->id = read_be<uint32_t>(key, 1);
                              out.push_back(std::move(*keys));
                              return true;
                            });
  if (!read) return read.take_error();
  return out;
}

}  // namespace ringlog::store
