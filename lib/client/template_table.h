#pragma once
// Row templates of one ring: which keys and types were registered under which kind.
//
// Found by the keys of a row without allocating.  Belongs to the ring's thread.

#include "record/row_template.h"

#include <ringlog/value.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringlog::client {

class TemplateTable {
 public:
  // Above this many key sets the rows of new ones travel as free rows: keys that never repeat would
  // otherwise fill both sides' memory with templates.
  static constexpr size_t kTemplatesMax = 4096;

  // The template for a row of numbers with these keys and types in this order; nullptr: none yet.
  const record::RowTemplate* find(std::span<const Item> items) const;
  bool is_full() const { return entries_.size() >= kTemplatesMax; }
  // The kind the next template will get.
  uint16_t next_kind() const {
    return static_cast<uint16_t>(shm::kKindRowFirst + entries_.size() + row_kind_count_);
  }
  // The template of `items`, with next_kind().  Throws std::bad_alloc, having changed nothing.
  const record::RowTemplate* add(std::span<const Item> items);
  // Forgets the one added last, when the service could not be told of it.
  void take_back();

  // Templates of Run::row() handles, by the handle's ordinal.
  const record::RowTemplate* find_row(size_t ordinal) const {
    return ordinal < rows_.size() && rows_[ordinal].bytes != 0 ? &rows_[ordinal] : nullptr;
  }
  // As above.
  const record::RowTemplate* add_row(size_t ordinal, size_t key_count);
  void take_back_row(size_t ordinal);

 private:
  struct Entry {
    uint64_t hash;
    std::string keys;  // each: type, key, '\0'
    record::RowTemplate shape;
  };
  static uint64_t hash(std::span<const Item> items);
  static bool equal(const Entry& entry, std::span<const Item> items);

  std::vector<Entry> entries_;
  std::vector<uint32_t> slots_;  // open addressing: index into entries_ + 1; 0: empty
  std::vector<record::RowTemplate> rows_;
  size_t row_kind_count_ = 0;
};

}  // namespace ringlog::client
