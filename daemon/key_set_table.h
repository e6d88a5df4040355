#pragma once
// KeySetTable: the key sets of one run, each with its id in the store.
//
// Belongs to the drain thread (inside a Handler).  Never blocks.

#include "store/model.h"

#include <ringlog/result.h>

#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

namespace ringlog::service {

class KeySetTable {
 public:
  explicit KeySetTable(std::vector<store::KeySet> stored);

  // The id of the key set with exactly these columns; a new one is appended to `added`, which is to
  // be stored no later than its first row.
  //   kTooLarge  the run has kColumnsPerRunMax columns
  Result<uint32_t> find_or_add(std::vector<store::Column> columns,
                               std::vector<store::KeySet>& added);
  // New ones have ids above `last`.
  void reserve(uint32_t last);
  // Nullptr: no such key set.
  const store::KeySet* find(uint32_t id) const;

 private:
  void insert(store::KeySet keys);

  std::unordered_map<uint32_t, store::KeySet> by_id_;
  std::unordered_multimap<uint64_t, uint32_t> by_hash_;
  uint32_t next_id_ = 1;
  size_t column_count_ = 0;
};

}  // namespace ringlog::service
