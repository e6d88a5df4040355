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

// The lists of a schema Columns, each fetched once: that is when Cap'n Proto checks it and counts
// it against the traversal limit.
struct ColumnLists {
  ColumnLists() = default;
  explicit ColumnLists(schema::Columns::Reader in)
      : encoding(in.getEncoding()),
        page(in.getPage()),
        offset(in.getOffset()),
        size(in.getSize()),
        base(in.getBase()),
        stride(in.getStride()),
        non_finite(in.getNonFinite()),
        first(in.getFirst()),
        last(in.getLast()),
        min(in.getMin()),
        max(in.getMax()),
        mean(in.getMean()) {}

  bool has_statistics() const { return first.size() > 0; }
  ColumnPlace place(size_t i) const {
    return {at<Encoding>(encoding, i), at<uint16_t>(page, i), at<uint32_t>(offset, i),
            at<uint32_t>(size, i),     at<uint64_t>(base, i), at<int64_t>(stride, i)};
  }
  ColumnStatistics statistics(size_t i) const {
    return {at<uint32_t>(non_finite, i), at<double>(first, i), at<double>(last, i),
            at<double>(min, i),          at<double>(max, i),   at<double>(mean, i)};
  }

  capnp::List<schema::Columns::Encoding>::Reader encoding;
  capnp::List<uint16_t>::Reader page;
  capnp::List<uint32_t>::Reader offset;
  capnp::List<uint32_t>::Reader size;
  capnp::List<uint64_t>::Reader base;
  capnp::List<int64_t>::Reader stride;
  capnp::List<uint32_t>::Reader non_finite;
  capnp::List<double>::Reader first;
  capnp::List<double>::Reader last;
  capnp::List<double>::Reader min;
  capnp::List<double>::Reader max;
  capnp::List<double>::Reader mean;
};

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
    const ColumnLists row_columns(in.getRowColumns());
    info.seq = row_columns.place(0);
    info.step = row_columns.place(1);
    info.time = row_columns.place(2);
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

  Status load(bool wants_columns);
  Status load_inline();
  Status load_directory();

  ChunkInfo info;
  const KeySet& keys;
  const ValueSource& source;
  // Page 0 as words, and its lists; or, for an inline chunk, the lookups of all its columns.
  std::optional<record::MessageView> message;
  ColumnLists directory;
  bool has_statistics = false;
  std::vector<ColumnLookup> lookups;
  uint16_t page_index = 0;  // of `page`; 0: none
  std::string page;
};

Status ChunkReader::Impl::load_inline() {
  Result<std::string> bytes = source(key::chunk(info.lsn));
  if (!bytes) return bytes.take_error();
  return unpack<schema::ChunkHeader>(*bytes, [&](auto in) -> Status {
    const ColumnLists columns(in.getColumns());
    has_statistics = columns.has_statistics();
    for (size_t i = 0; i < keys.columns.size(); ++i) {
      lookups.push_back({columns.place(i), columns.statistics(i)});
    }
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
    directory = ColumnLists(message->root<schema::Columns>());
    has_statistics = directory.has_statistics();
  });
}

Status ChunkReader::Impl::load(bool wants_columns) {
  const bool has_row_bytes = info.seq.size + info.step.size + info.time.size > 0;
  if (!wants_columns && (info.pages > 0 || !has_row_bytes)) return Done{};
  Status read = info.pages == 0 ? load_inline() : load_directory();
  if (!read) return read.take_error().in(where(info));
  return read;
}

ChunkReader::ChunkReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChunkReader::~ChunkReader() = default;
ChunkReader::ChunkReader(ChunkReader&&) noexcept = default;

Result<ChunkReader> ChunkReader::open(const ChunkInfo& info, const KeySet& keys,
                                      const ValueSource& source, bool wants_columns) {
  auto impl = std::make_unique<Impl>(info, keys, source);
  if (Status loaded = impl->load(wants_columns); !loaded) return loaded.take_error();
  return ChunkReader(std::move(impl));
}

ColumnLookup ChunkReader::lookup(size_t index) const {
  ColumnLookup found = impl_->message ? ColumnLookup{impl_->directory.place(index),
                                                     impl_->directory.statistics(index)}
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
  Result<ChunkReader> reader = ChunkReader::open(info, keys, source, !wish.columns.empty());
  if (!reader) return reader.take_error();
  DecodedChunk out;
  out.info = info;
  if (Status read = decode_all(*reader, keys, wish, out); !read) {
    return read.take_error().in(where(info));
  }
  return out;
}

}  // namespace ringlog::store
