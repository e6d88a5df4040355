#pragma once
// RowWalk: visits rows in order.  Internal to lib/store; see RunReader::for_each_row.
//
// Belongs to one thread; the index and the source must outlive it.  Holds the decoded chunks that
// overlap at the current sequence number, and no others.

#include <ringlog/result.h>

#include <cstdint>
#include <map>
#include <queue>
#include <string>
#include <vector>

#include "store/reader.h"
#include "store/run_index.h"

namespace ringlog::store {

class RowWalk {
 public:
  enum class Depth {
    kRows,
    kSeqOnly,  // nothing but lane and seq: the views have no cells, no step and no time
  };
  RowWalk(const RunIndex& index, const ValueSource& source, const RowFilter& filter,
          Depth depth = Depth::kRows);
  RowWalk(const RowWalk&) = delete;
  RowWalk& operator=(const RowWalk&) = delete;

  // Rows visited.  kNotFound: a metric that no row has; kCorrupt, kIo: a chunk cannot be read.
  Result<uint64_t> run(const RowVisitor& visitor);

 private:
  struct Cursor {
    uint64_t seq;  // of its next row
    size_t chunk;  // index in the lane
    bool operator>(const Cursor& other) const {
      return seq != other.seq ? seq > other.seq : chunk > other.chunk;
    }
  };
  struct Decoded {
    DecodedChunk chunk;
    size_t row = 0;  // the next one
  };

  Status select_columns();
  bool wants(const Lane& lane) const;
  bool wants(const ChunkInfo& chunk) const;
  Status walk(const Lane& lane, const RowVisitor& visitor);
  Status decode(const ChunkInfo& chunk, Decoded& out);
  bool visit_until(const Lane& lane, Decoded& decoded, uint64_t last_seq,
                   const RowVisitor& visitor);

  const RunIndex& index_;
  const ValueSource& source_;
  const RowFilter& filter_;
  const Depth depth_;
  std::map<uint32_t, std::vector<size_t>> columns_;  // by key set: those of the filter
  // Of the lane being walked.
  uint64_t seq_begin_ = 0;
  uint64_t seq_end_ = 0;
  uint64_t rows_left_ = 0;
  std::map<size_t, Decoded> decoded_;  // by chunk
  uint64_t visited_ = 0;
  bool is_stopped_ = false;
};

}  // namespace ringlog::store
