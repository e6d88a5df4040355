#include <algorithm>
#include <bit>
#include <cmath>

#include "record/message.h"
#include "schema/chunk.capnp.h"
#include "store/chunk.h"
#include "store/limits.h"
#include "store/packed.h"

namespace ringlog::store {

namespace {

using Encodings = schema::Columns::Encoding;

// Columns that are turned at once: eight cells are one cache line of a row.
constexpr size_t kTransposeColumns = 8;

// Writes a list only when some entry is not zero; readers take an empty list for zeros.
template <typename Get, typename Init>
void write_list(size_t count, Get get, Init init) {
  for (size_t i = 0; i < count; ++i) {
    if (get(i) == decltype(get(i)){}) continue;
    auto list = init(static_cast<capnp::uint>(count));
    for (size_t k = 0; k < count; ++k) list.set(static_cast<capnp::uint>(k), get(k));
    return;
  }
}

struct Directory {
  std::vector<ColumnPlace> places;
  std::vector<ColumnStatistics> statistics;
  bool has_statistics = false;  // some column is not constant
};

void write_places(const std::vector<ColumnPlace>& places, schema::Columns::Builder out) {
  const size_t n = places.size();
  write_list(
      n, [&](size_t i) { return static_cast<Encodings>(places[i].encoding); },
      [&](auto count) { return out.initEncoding(count); });
  write_list(
      n, [&](size_t i) { return places[i].page; }, [&](auto count) { return out.initPage(count); });
  write_list(
      n, [&](size_t i) { return places[i].offset; },
      [&](auto count) { return out.initOffset(count); });
  write_list(
      n, [&](size_t i) { return places[i].size; }, [&](auto count) { return out.initSize(count); });
  write_list(
      n, [&](size_t i) { return places[i].base; }, [&](auto count) { return out.initBase(count); });
  write_list(
      n, [&](size_t i) { return places[i].stride; },
      [&](auto count) { return out.initStride(count); });
}

void write_statistics(const std::vector<ColumnStatistics>& statistics,
                      schema::Columns::Builder out) {
  const auto n = static_cast<capnp::uint>(statistics.size());
  write_list(
      n, [&](size_t i) { return statistics[i].non_finite; },
      [&](auto count) { return out.initNonFinite(count); });
  auto first = out.initFirst(n);
  auto last = out.initLast(n);
  auto min = out.initMin(n);
  auto max = out.initMax(n);
  auto mean = out.initMean(n);
  for (capnp::uint i = 0; i < n; ++i) {
    first.set(i, statistics[i].first);
    last.set(i, statistics[i].last);
    min.set(i, statistics[i].min);
    max.set(i, statistics[i].max);
    mean.set(i, statistics[i].mean);
  }
}

void write_directory(const Directory& directory, schema::Columns::Builder out) {
  write_places(directory.places, out);
  if (directory.has_statistics) write_statistics(directory.statistics, out);
}

std::string directory_page(const Directory& directory) {
  capnp::MallocMessageBuilder message;
  write_directory(directory, message.initRoot<schema::Columns>());
  const record::Words words = record::to_words(message);
  return {reinterpret_cast<const char*>(words.data()), words.size() * sizeof(uint64_t)};
}

// An estimate is enough: it only decides where the directory goes.
size_t directory_size(const Directory& directory) {
  const size_t n = directory.places.size();
  return n * (sizeof(ColumnPlace) + (directory.has_statistics ? sizeof(ColumnStatistics) : 0));
}

template <typename T>
std::pair<T, T> min_max(const std::vector<T>& values, size_t begin, size_t end) {
  const auto [min, max] = std::minmax_element(values.begin() + static_cast<ptrdiff_t>(begin),
                                              values.begin() + static_cast<ptrdiff_t>(end));
  return {*min, *max};
}

}  // namespace

size_t EncodedChunk::size() const {
  size_t size = header.size();
  for (const std::string& page : pages) size += page.size();
  return size;
}

// A chunk on its way.
struct ChunkEncoder::Build {
  std::vector<ColumnPlace> row_columns;  // seq, step, time
  Directory directory;
  std::vector<std::string> pages = {std::string()};  // [i] is page i + 1

  // The page that the next column is appended to.
  std::string& page() {
    if (pages.back().size() >= kPageBytes) pages.emplace_back();
    return pages.back();
  }
  // Completes the place of the column that was appended at `offset` of the last page.
  void locate(ColumnPlace& place, size_t offset) const {
    if (place.size == 0) return;
    place.page = static_cast<uint16_t>(pages.size());
    place.offset = static_cast<uint32_t>(offset);
  }
};

void ChunkEncoder::add_numbers(Build& build, ColumnType type, std::span<const uint64_t> cells) {
  std::string& page = build.page();
  const size_t offset = page.size();
  ColumnPlace place = encoder_.encode_numbers(type, cells, effort_, page);
  build.locate(place, offset);
  build.directory.places.push_back(place);
  if (place.is_constant()) {
    build.directory.statistics.push_back(
        constant_statistics(type, place.base, static_cast<uint32_t>(cells.size())));
  } else {
    build.directory.statistics.push_back(statistics_of(type, cells));
    build.directory.has_statistics = true;
  }
}

Status ChunkEncoder::add_bytes(Build& build, const RowBlock& block, size_t begin, size_t end,
                               size_t index) {
  std::vector<std::string_view> cells;
  cells.reserve(end - begin);
  for (size_t row = begin; row < end; ++row) cells.push_back(block.byte_cell(row, index));
  std::string& page = build.page();
  const size_t offset = page.size();
  Result<ColumnPlace> place = encoder_.encode_bytes(cells, page);
  if (!place) return place.take_error();
  build.locate(*place, offset);
  build.directory.places.push_back(*place);
  build.directory.statistics.push_back({});
  return Done{};
}

Status ChunkEncoder::add_columns(Build& build, const RowBlock& block, size_t begin, size_t end,
                                 const KeySet& keys) {
  const size_t rows = end - begin;
  transposed_.resize(kTransposeColumns);
  size_t number = 0;  // index among the columns of numbers…
  size_t turned = 0;  // …of which this many were turned
  size_t byte_column = 0;
  for (const Column& column : keys.columns) {
    if (column.type == ColumnType::kOther) {
      if (Status added = add_bytes(build, block, begin, end, byte_column++); !added) return added;
      continue;
    }
    if (number == turned) {
      const size_t width = std::min(kTransposeColumns, block.number_count - number);
      for (size_t k = 0; k < width; ++k) transposed_[k].resize(rows);
      const uint64_t* from = block.cells.data() + begin * block.number_count + number;
      for (size_t row = 0; row < rows; ++row, from += block.number_count) {
        for (size_t k = 0; k < width; ++k) transposed_[k][row] = from[k];
      }
      turned += width;
    }
    add_numbers(build, column.type, transposed_[number % kTransposeColumns]);
    ++number;
  }
  return Done{};
}

Result<EncodedChunk> ChunkEncoder::encode(const RowBlock& block, size_t begin, size_t end,
                                          const KeySet& keys, Effort effort) {
  effort_ = effort;
  Build build;
  const size_t rows = end - begin;
  add_numbers(build, ColumnType::kUint64, std::span(block.seq).subspan(begin, rows));
  add_numbers(build, ColumnType::kUint64, std::span(block.step).subspan(begin, rows));
  const auto* times = reinterpret_cast<const uint64_t*>(block.time_ns.data());
  add_numbers(build, ColumnType::kInt64, {times + begin, rows});
  build.row_columns = std::move(build.directory.places);
  build.directory = {};
  if (Status added = add_columns(build, block, begin, end, keys); !added) return added.take_error();

  capnp::MallocMessageBuilder message;
  auto header = message.initRoot<schema::ChunkHeader>();
  header.setProducer(block.producer);
  header.setRing(block.ring);
  header.setKeySet(block.key_set);
  header.setRows(static_cast<uint32_t>(rows));
  header.setFirstSeq(block.seq[begin]);
  header.setLastSeq(block.seq[end - 1]);
  const auto [min_time, max_time] = min_max(block.time_ns, begin, end);
  header.setMinTimeNs(min_time);
  header.setMaxTimeNs(max_time);
  const auto [min_step, max_step] = min_max(block.step, begin, end);
  header.setMinStep(min_step);
  header.setMaxStep(max_step);
  write_places(build.row_columns, header.initRowColumns());

  EncodedChunk chunk;
  const std::string& first_page = build.pages.front();
  if (build.pages.size() == 1 &&
      first_page.size() + directory_size(build.directory) <= kInlineBytesMax) {
    write_directory(build.directory, header.initColumns());
    header.setInlinePage({reinterpret_cast<const kj::byte*>(first_page.data()), first_page.size()});
  } else {
    chunk.pages.push_back(directory_page(build.directory));
    for (std::string& page : build.pages) chunk.pages.push_back(std::move(page));
    header.setPages(static_cast<uint16_t>(chunk.pages.size()));
  }
  chunk.header = pack(message);
  return chunk;
}

}  // namespace ringlog::store
