#include "client/template_table.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ringlog::client {

namespace {

// Multiply and fold, eight bytes at a time: keys are short and come from the program itself.
uint64_t mix(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t hash_text(std::string_view text, uint64_t seed) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15ULL;
  uint64_t hash = seed ^ text.size();
  while (text.size() >= 8) {
    uint64_t word;
    std::memcpy(&word, text.data(), 8);
    hash = mix(hash ^ word, kOdd);
    text.remove_prefix(8);
  }
  uint64_t last = 0;
  for (const char c : text) last = last << 8 | static_cast<unsigned char>(c);
  return mix(hash ^ last, kOdd);
}

}  // namespace

uint64_t TemplateTable::hash(std::span<const Item> items) {
  uint64_t hash = items.size();
  for (const Item& item : items) {
    hash = hash_text(item.key, hash + static_cast<uint64_t>(item.value.type()));
  }
  return hash;
}

bool TemplateTable::equal(const Entry& entry, std::span<const Item> items) {
  if (entry.shape.key_count != items.size()) return false;
  const char* at = entry.keys.data();
  const char* const end = at + entry.keys.size();
  for (const Item& item : items) {
    const size_t size = item.key.size();
    if (static_cast<size_t>(end - at) < size + 2 || *at != static_cast<char>(item.value.type()) ||
        std::memcmp(at + 1, item.key.data(), size) != 0 || at[1 + size] != '\0') {
      return false;
    }
    at += size + 2;
  }
  return at == end;
}

const record::RowTemplate* TemplateTable::find(std::span<const Item> items) const {
  if (slots_.empty()) return nullptr;
  const uint64_t wanted = hash(items);
  const size_t mask = slots_.size() - 1;
  for (size_t i = wanted & mask; slots_[i] != 0; i = (i + 1) & mask) {
    const Entry& entry = entries_[slots_[i] - 1];
    if (entry.hash == wanted && equal(entry, items)) return &entry.shape;
  }
  return nullptr;
}

const record::RowTemplate* TemplateTable::add(std::span<const Item> items) {
  const uint16_t kind = next_kind();
  // Reserved whole at first use, so that pointers to entries stay good.
  if (entries_.empty()) {
    entries_.reserve(kTemplatesMax);
    slots_.resize(kTemplatesMax * 2);
  }
  Entry entry{hash(items), {}, {}};
  for (const Item& item : items) {
    entry.keys += static_cast<char>(item.value.type());
    entry.keys.append(item.key);
    entry.keys += '\0';
  }
  entry.shape = {kind, items.size()};
  const size_t mask = slots_.size() - 1;
  size_t i = entry.hash & mask;
  while (slots_[i] != 0) i = (i + 1) & mask;
  entries_.push_back(std::move(entry));
  slots_[i] = static_cast<uint32_t>(entries_.size());
  return &entries_.back().shape;
}

void TemplateTable::take_back() {
  // Nothing was added since, so no other entry was put behind this one's place.
  std::replace(slots_.begin(), slots_.end(), static_cast<uint32_t>(entries_.size()), 0U);
  entries_.pop_back();
}

const record::RowTemplate* TemplateTable::add_row(size_t ordinal, size_t key_count) {
  const uint16_t kind = next_kind();
  if (rows_.size() <= ordinal) rows_.resize(ordinal + 1);
  ++row_kind_count_;
  rows_[ordinal] = {kind, key_count};
  return &rows_[ordinal];
}

void TemplateTable::take_back_row(size_t ordinal) {
  rows_[ordinal] = {};
  --row_kind_count_;
}

}  // namespace ringlog::client
