#include "daemon/key_set_table.h"

#include "daemon/limits.h"

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>

namespace ringlog::service {

namespace {

uint64_t hash_of(const std::vector<store::Column>& columns) {
  uint64_t hash = columns.size();
  for (const store::Column& column : columns) {
    hash ^= std::hash<std::string_view>()(column.path) + static_cast<uint64_t>(column.type);
    hash *= 0x9e3779b97f4a7c15;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace

KeySetTable::KeySetTable(std::vector<store::KeySet> stored) {
  for (store::KeySet& keys : stored) insert(std::move(keys));
}

void KeySetTable::insert(store::KeySet keys) {
  next_id_ = std::max(next_id_, keys.id + 1);
  column_count_ += keys.columns.size();
  by_hash_.emplace(hash_of(keys.columns), keys.id);
  const uint32_t id = keys.id;
  by_id_.emplace(id, std::move(keys));
}

Result<uint32_t> KeySetTable::find_or_add(std::vector<store::Column> columns,
                                          std::vector<store::KeySet>& added) {
  const auto [begin, end] = by_hash_.equal_range(hash_of(columns));
  for (auto candidate = begin; candidate != end; ++candidate) {
    if (by_id_.at(candidate->second).columns == columns) return candidate->second;
  }
  if (column_count_ + columns.size() > kColumnsPerRunMax) {
    return Error{Code::kTooLarge, "the run has " + std::to_string(column_count_) +
                                      " columns in all its key sets; " +
                                      std::to_string(kColumnsPerRunMax) + " are allowed"};
  }
  store::KeySet keys;
  keys.id = next_id_;
  keys.columns = std::move(columns);
  added.push_back(keys);
  insert(std::move(keys));
  return next_id_ - 1;
}

void KeySetTable::reserve(uint32_t last) { next_id_ = std::max(next_id_, last + 1); }

const store::KeySet* KeySetTable::find(uint32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second;
}

}  // namespace ringlog::service
