#pragma once
// Chunks: rows as columns, as they stand on disk (docs/store_format.md).
//
// Values; ChunkEncoder belongs to one thread.

#include <ringlog/result.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/column.h"
#include "store/model.h"

namespace ringlog::store {

// The bytes of one chunk, before it has an lsn.
struct EncodedChunk {
  std::string header;
  std::vector<std::string> pages;  // 0: the column directory; none: the header holds everything
  size_t size() const;             // bytes of all of them
};

class ChunkEncoder {
 public:
  // Rows [begin, end) of `block`; at least one.
  //   kTooLarge  a byte cell is above kValueBytesMax
  Result<EncodedChunk> encode(const RowBlock& block, size_t begin, size_t end, const KeySet& keys,
                              Effort effort = Effort::kFull);

 private:
  struct Build;
  void add_numbers(Build& build, ColumnType type, std::span<const uint64_t> cells);
  Status add_columns(Build& build, const RowBlock& block, size_t begin, size_t end,
                     const KeySet& keys);
  Status add_bytes(Build& build, const RowBlock& block, size_t begin, size_t end, size_t index);

  ColumnEncoder encoder_;
  Effort effort_ = Effort::kFull;                  // of the chunk being encoded
  std::vector<std::vector<uint64_t>> transposed_;  // scratch: some columns of the block
};

// What a reader keeps of every chunk of a run: its header less the metrics.
struct ChunkInfo {
  uint64_t lsn = 0;
  LaneId lane;
  uint32_t key_set = 0;
  uint32_t rows = 0;
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;
  int64_t min_time_ns = 0;
  int64_t max_time_ns = 0;
  uint64_t min_step = 0;
  uint64_t max_step = 0;
  uint16_t pages = 0;  // 0: everything is in the header
  ColumnPlace seq;
  ColumnPlace step;
  ColumnPlace time;
};
// kCorrupt: not a chunk header.
Result<ChunkInfo> read_chunk_header(uint64_t lsn, std::string_view bytes);

// What is asked about one column of a key set.
struct ColumnLookup {
  ColumnPlace place;
  ColumnStatistics statistics;  // zeros for kOther
};

// Answers for the value under a key; kNotFound when there is none.
using ValueSource = std::function<Result<std::string>(const std::string& key)>;

// The parts of one chunk, fetched as they are needed.  The source must outlive it.
class ChunkReader {
 public:
  // Fetches what the header does not say about the key set's columns, when they are wanted.
  // kCorrupt, or what the source answers.
  static Result<ChunkReader> open(const ChunkInfo& info, const KeySet& keys,
                                  const ValueSource& source, bool wants_columns = true);
  ~ChunkReader();
  ChunkReader(ChunkReader&&) noexcept;
  ChunkReader(const ChunkReader&) = delete;
  ChunkReader& operator=(const ChunkReader&) = delete;

  // Requires index < the key set's column count, and that columns were wanted.
  ColumnLookup lookup(size_t index) const;
  // The bytes of the place's column; valid until the next call.  kCorrupt, or the source's error.
  Result<std::string_view> column_bytes(const ColumnPlace& place);

 private:
  struct Impl;
  explicit ChunkReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct DecodedColumn {
  std::vector<uint64_t> cells;  // numbers
  std::string bytes;            // byte cells, one after another…
  std::vector<uint64_t> ends;   // …and where each ends
};

// Cells of a chunk; the columns are those that were asked for, in that order.
struct DecodedChunk {
  ChunkInfo info;
  std::vector<uint64_t> seq;
  std::vector<uint64_t> step;
  std::vector<uint64_t> time_ns;  // bits of int64_t
  std::vector<DecodedColumn> columns;
};

struct DecodeWish {
  bool step = true;
  bool time = true;
  std::vector<size_t> columns{};  // indexes into the key set, rising
};
//   kCorrupt  the chunk is damaged; or what the source answers
Result<DecodedChunk> decode_chunk(const ChunkInfo& info, const KeySet& keys,
                                  const ValueSource& source, const DecodeWish& wish);

}  // namespace ringlog::store
