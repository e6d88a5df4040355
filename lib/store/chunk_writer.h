#pragma once
// ChunkWriter: turns the rows of commits into chunks.  Internal to lib/store.
//
// A commit with many rows of a key set becomes full chunks at once.  A few rows become a small
// chunk, and stay in memory as well, in the lane's open chunk; when that is full (or its producer
// ends, or the memory budget is reached) one full chunk replaces the small ones in the same batch.
// So a row is on disk as soon as its commit is, and a slow logger still ends with few, large
// chunks.
//
// Between begin() and accept() or reject() the writer collects one commit; reject() leaves it as it
// was before.  Belongs to one thread.

#include <ringlog/result.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "store/chunk.h"
#include "store/limits.h"
#include "store/model.h"

namespace leveldb {
class WriteBatch;
}

namespace ringlog::store {

class ChunkWriter {
 public:
  ChunkWriter() = default;
  ChunkWriter(const ChunkWriter&) = delete;
  ChunkWriter& operator=(const ChunkWriter&) = delete;

  struct Written {
    uint64_t rows = 0;         // that came with the commit
    uint64_t rows_merged = 0;  // that were written again
    uint64_t chunks = 0;
    uint64_t raw_bytes = 0;
  };

  // A commit whose chunks take their lsn from `next_lsn` on, and go into `batch`.
  void begin(uint64_t& next_lsn, leveldb::WriteBatch& batch);
  // Requires a valid block of that key set, which outlives the writer.
  //   kTooLarge  a value above kValueBytesMax
  Status add(const RowBlock& block, const KeySet& keys);
  // Merges what is open of a producer that writes no more.
  Status close(uint32_t producer);
  // Closes the largest open chunks until the rest fits the budget, and those that are open too
  // long.
  Status close_excess();
  // Chunks below this lsn stay as they are for ever.
  uint64_t final_lsn() const;
  const Written& written() const { return written_; }

  // The batch was written, or was not.
  void accept();
  void reject();

 private:
  using Key = std::tuple<uint32_t, uint16_t, uint32_t>;  // producer, ring, key set
  // A chunk on disk that holds some of an open chunk's rows.
  struct Part {
    uint64_t lsn;
    uint16_t pages;
    size_t rows;
    bool is_small;  // of one commit, not yet merged with others
  };
  struct Open {
    RowBlock rows;
    const KeySet* keys = nullptr;
    std::vector<Part> parts;  // together they hold the rows from `done` on
    size_t done = 0;          // rows at the front that this commit put into full chunks
    // As it was at begin(), once the commit touched it.
    bool is_touched = false;
    size_t rows_before = 0;
    std::vector<Part> parts_before;

    size_t pending() const { return rows.rows() - done; }
    size_t pending_bytes() const { return kOpenChunkBytes + rows.raw_size(done, rows.rows()); }
  };

  Open& touch(const Key& key, const RowBlock& block, const KeySet& keys);
  Result<Part> write_chunk(const RowBlock& rows, size_t begin, size_t end, const KeySet& keys,
                           Effort effort);
  Status write_full(const RowBlock& rows, size_t begin, size_t end, const KeySet& keys,
                    Effort effort);
  Status add_part(Open& open, size_t new_rows);
  Status merge_small_parts(Open& open);
  Status close(Open& open);
  void delete_part(const Part& part);

  std::map<Key, Open> open_;
  ChunkEncoder encoder_;
  // Of the commit.
  uint64_t* next_lsn_ = nullptr;
  leveldb::WriteBatch* batch_ = nullptr;
  Written written_;
};

}  // namespace ringlog::store
