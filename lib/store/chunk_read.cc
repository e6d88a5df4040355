#include <algorithm>
#include <optional>
#include <utility>

#include "record/message.h"
#include "schema/chunk.capnp.h"
#include "store/chunk.h"
#include "store/keys.h"
#include "store/limits.h"
#include "store/packed.h"

namespace ringlog::store {

namespace {

// Entry i of a list; zero when the list is empty (or, in a damaged chunk, too short).
template <typename T, typename List>
T at(List list, size_t i) {
  return i < list.size() ? static_cast<T>(list[static_cast<capnp::uint>(i)]) : T{};
}

ColumnPlace read_place(schema::Columns::Reader columns, size_t i) {
  ColumnPlace place;
  place.encoding = static_cast<Encoding>(at<schema::Columns::Encoding>(columns.getEncoding(), i));
  place.page = at<uint16_t>(columns.getPage(), i);
  place.offset = at<uint32_t>(columns.getOffset(), i);
  place.size = at<uint32_t>(columns.getSize(), i);
  place.base = at<uint64_t>(columns.getBase(), i);
  place.stride = at<int64_t>(columns.getStride(), i);
  return place;
}

ColumnStatistics read_statistics(schema::Columns::Reader columns, size_t i) {
  ColumnStatistics out;
  out.non_finite = at<uint32_t>(columns.getNonFinite(), i);
  out.first = at<double>(columns.getFirst(), i);
  out.last = at<double>(columns.getLast(), i);
  out.min = at<double>(columns.getMin(), i);
  out.max = at<double>(columns.getMax(), i);
  out.mean = at<double>(columns.getMean(), i);
  return out;
}

std::string where(const ChunkInfo& info) { return "chunk " + std::to_string(info.lsn); }

}  // namespace

Result<ChunkInfo> read_chunk_header(uint64_t lsn, std::string_view bytes) {
  ChunkInfo info;
  info.lsn = lsn;
  Status read = unpack<schema::ChunkHeader>(bytes, [&](auto in) -> Status {
    info.lane = {in.getProducer(), in.getRing()};
    info.key_set = in.getKeySet();
    info.rows = in.getRows();
    info.first_seq = in.getFirstSeq();
    info.last_seq = in.getLastSeq();
    info.min_time_ns = in.getMinTimeNs();
    info.max_time_ns = in.getMaxTimeNs();
    info.min_step = in.getMinStep();
    info.max_step = in.getMaxStep();
    info.pages = in.getPages();
    const auto row_columns = in.getRowColumns();
    info.seq = read_place(row_columns, 0);
    info.step = read_place(row_columns, 1);
    info.time = read_place(row_columns, 2);
    return Done{};
  });
  if (!read) return read.take_error().in(where(info));
  if (info.rows == 0 || info.rows > kReadRowsMax) {
    return Error{Code::kCorrupt, where(info) + ": " + std::to_string(info.rows) + " rows"};
  }
  return info;
}

struct ChunkReader::Impl {
  Impl(const ChunkInfo& chunk, const KeySet& key_set, const ValueSource& values)
      : info(chunk), keys(key_set), source(values) {}

  Status load();
  Status load_inline();
  Status load_directory();
  void keep(schema::Columns::Reader columns);

  ChunkInfo info;
  const KeySet& keys;
  const ValueSource& source;
  // Page 0 as words, and its root; or, for an inline chunk, the lookups of all its columns.
  std::optional<record::MessageView> message;
  schema::Columns::Reader directory;
  bool has_statistics = false;
  std::vector<ColumnLookup> lookups;
  uint16_t page_index = 0;  // of `page`; 0: none
  std::string page;
};

// What the directory says about a column, and, where it says nothing, what follows from its base.
void ChunkReader::Impl::keep(schema::Columns::Reader columns) {
  lookups.resize(keys.columns.size());
  has_statistics = columns.getFirst().size() > 0;
  for (size_t i = 0; i < lookups.size(); ++i) {
    lookups[i] = {read_place(columns, i), read_statistics(columns, i)};
  }
}

Status ChunkReader::Impl::load_inline() {
  Result<std::string> bytes = source(key::chunk(info.lsn));
  if (!bytes) return bytes.take_error();
  return unpack<schema::ChunkHeader>(*bytes, [&](auto in) -> Status {
    keep(in.getColumns());
    const auto inlined = in.getInlinePage();
    page.assign(reinterpret_cast<const char*>(inlined.begin()), inlined.size());
    page_index = 1;
    return Done{};
  });
}

Status ChunkReader::Impl::load_directory() {
  Result<std::string> bytes = source(key::page(info.lsn, 0));
  if (!bytes) return bytes.take_error();
  return record::try_read([&] {
    message.emplace(std::as_bytes(std::span(std::string_view(*bytes))));
    directory = message->root<schema::Columns>();
    has_statistics = directory.getFirst().size() > 0;
    // Touch every list once, so that a damaged one fails here and not in lookup().
    read_place(directory, 0);
    read_statistics(directory, 0);
  });
}

Status ChunkReader::Impl::load() {
  Status read = info.pages == 0 ? load_inline() : load_directory();
  if (!read) return read.take_error().in(where(info));
  return read;
}

ChunkReader::ChunkReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChunkReader::~ChunkReader() = default;
ChunkReader::ChunkReader(ChunkReader&&) noexcept = default;

Result<ChunkReader> ChunkReader::open(const ChunkInfo& info, const KeySet& keys,
                                      const ValueSource& source) {
  auto impl = std::make_unique<Impl>(info, keys, source);
  if (Status loaded = impl->load(); !loaded) return loaded.take_error();
  return ChunkReader(std::move(impl));
}

ColumnLookup ChunkReader::lookup(size_t index) const {
  ColumnLookup found = impl_->message ? ColumnLookup{read_place(impl_->directory, index),
                                                     read_statistics(impl_->directory, index)}
                                      : impl_->lookups[index];
  const ColumnType type = impl_->keys.columns[index].type;
  if (!impl_->has_statistics && type != ColumnType::kOther) {
    found.statistics = constant_statistics(type, found.place.base, impl_->info.rows);
  }
  return found;
}

Result<std::string_view> ChunkReader::column_bytes(const ColumnPlace& place) {
  if (place.size == 0) return std::string_view();
  if (place.page != impl_->page_index) {
    Result<std::string> page = impl_->source(key::page(impl_->info.lsn, place.page));
    if (!page) return page.take_error().in(where(impl_->info));
    impl_->page = std::move(*page);
    impl_->page_index = place.page;
  }
  if (place.offset > impl_->page.size() || place.size > impl_->page.size() - place.offset) {
    return Error{Code::kCorrupt, where(impl_->info) + ": a column lies outside its page"};
  }
  return std::string_view(impl_->page).substr(place.offset, place.size);
}

namespace {

Status decode_into(ChunkReader& reader, const ColumnPlace& place, size_t rows,
                   std::vector<uint64_t>& out) {
  Result<std::string_view> bytes = reader.column_bytes(place);
  if (!bytes) return bytes.take_error();
  return decode_numbers(place, *bytes, rows, out);
}

Status decode_column(ChunkReader& reader, ColumnType type, size_t index, size_t rows,
                     DecodedColumn& out) {
  const ColumnPlace place = reader.lookup(index).place;
  if (type != ColumnType::kOther) return decode_into(reader, place, rows, out.cells);
  Result<std::string_view> bytes = reader.column_bytes(place);
  if (!bytes) return bytes.take_error();
  return decode_bytes(place, *bytes, rows, out.bytes, out.ends);
}

Status decode_all(ChunkReader& reader, const KeySet& keys, const DecodeWish& wish,
                  DecodedChunk& out) {
  const ChunkInfo& info = out.info;
  if (Status read = decode_into(reader, info.seq, info.rows, out.seq); !read) return read;
  if (wish.step) {
    if (Status read = decode_into(reader, info.step, info.rows, out.step); !read) return read;
  }
  if (wish.time) {
    if (Status read = decode_into(reader, info.time, info.rows, out.time_ns); !read) return read;
  }
  out.columns.resize(wish.columns.size());
  for (size_t i = 0; i < wish.columns.size(); ++i) {
    const size_t index = wish.columns[i];
    Status read = decode_column(reader, keys.columns[index].type, index, info.rows, out.columns[i]);
    if (!read) return read;
  }
  return Done{};
}

}  // namespace

Result<DecodedChunk> decode_chunk(const ChunkInfo& info, const KeySet& keys,
                                  const ValueSource& source, const DecodeWish& wish) {
  Result<ChunkReader> reader = ChunkReader::open(info, keys, source);
  if (!reader) return reader.take_error();
  DecodedChunk out;
  out.info = info;
  if (Status read = decode_all(*reader, keys, wish, out); !read) {
    return read.take_error().in(where(info));
  }
  return out;
}

}  // namespace ringlog::store
