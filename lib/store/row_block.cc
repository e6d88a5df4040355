#include <cassert>

#include "store/model.h"

namespace ringlog::store {

namespace {

// Appends elements [begin, end) of `from`.
template <typename T>
void append_range(std::vector<T>& to, const std::vector<T>& from, size_t begin, size_t end) {
  to.insert(to.end(), from.begin() + static_cast<ptrdiff_t>(begin),
            from.begin() + static_cast<ptrdiff_t>(end));
}

template <typename T>
void erase_front(std::vector<T>& from, size_t count) {
  from.erase(from.begin(), from.begin() + static_cast<ptrdiff_t>(count));
}

}  // namespace

RowBlock::RowBlock(LaneId lane, const KeySet& keys)
    : producer(lane.producer),
      ring(lane.ring),
      key_set(keys.id),
      number_count(keys.number_count()),
      byte_count(keys.byte_count()) {}

size_t RowBlock::raw_size(size_t begin, size_t end) const {
  const size_t fixed = (end - begin) * (3 + number_count + byte_count) * sizeof(uint64_t);
  if (byte_count == 0 || begin == end) return fixed;
  const uint64_t first = begin == 0 ? 0 : byte_ends[begin * byte_count - 1];
  return fixed + (byte_ends[end * byte_count - 1] - first);
}

void RowBlock::add_row(uint64_t row_seq, uint64_t row_step, int64_t row_time_ns,
                       std::span<const uint64_t> numbers,
                       std::span<const std::string_view> values) {
  assert(numbers.size() == number_count && values.size() == byte_count);
  add_row(row_seq, row_step, row_time_ns, numbers);
  for (const std::string_view value : values) {
    bytes.append(value);
    byte_ends.push_back(bytes.size());
  }
}

void RowBlock::append(const RowBlock& other, size_t begin, size_t end) {
  assert(number_count == other.number_count && byte_count == other.byte_count);
  append_range(seq, other.seq, begin, end);
  append_range(step, other.step, begin, end);
  append_range(time_ns, other.time_ns, begin, end);
  append_range(cells, other.cells, begin * number_count, end * number_count);
  for (size_t row = begin; row < end; ++row) {
    for (size_t i = 0; i < byte_count; ++i) {
      bytes.append(other.byte_cell(row, i));
      byte_ends.push_back(bytes.size());
    }
  }
}

void RowBlock::truncate(size_t count) {
  if (count >= rows()) return;
  seq.resize(count);
  step.resize(count);
  time_ns.resize(count);
  cells.resize(count * number_count);
  byte_ends.resize(count * byte_count);
  bytes.resize(byte_ends.empty() ? 0 : byte_ends.back());
}

void RowBlock::drop_front(size_t count) {
  if (count == 0) return;
  if (count >= rows()) return clear();
  erase_front(seq, count);
  erase_front(step, count);
  erase_front(time_ns, count);
  erase_front(cells, count * number_count);
  if (byte_count == 0) return;
  const uint64_t gone = byte_ends[count * byte_count - 1];
  bytes.erase(0, gone);
  erase_front(byte_ends, count * byte_count);
  for (uint64_t& end : byte_ends) end -= gone;
}

std::string_view RowBlock::byte_cell(size_t row, size_t index) const {
  const size_t at = row * byte_count + index;
  const uint64_t begin = at == 0 ? 0 : byte_ends[at - 1];
  return std::string_view(bytes).substr(begin, byte_ends[at] - begin);
}

}  // namespace ringlog::store
