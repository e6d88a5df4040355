#pragma once
// PendingRows: what the `coalesce` policy keeps while a ring is full.
//
// Instead of dropping the newest row, the newest row of each key set is kept here and the one it
// replaces is dropped.  When there is room again the kept rows go into the ring in the order of
// their sequence numbers, before anything else, so the last value of every key is lost only with
// its process.  A row that is kept counts as dropped until it is in the ring, because it would be
// gone if the process were killed: the ledger is exact at any instruction.  Belongs to the ring's
// thread.

#include "record/row_template.h"
#include "shm/ring.h"

#include <cstdint>
#include <vector>

namespace ringlog::client {

class PendingRows {
 public:
  bool is_empty() const { return rows_.empty(); }
  // Keeps and counts a row; the one of the same key set that was kept before is gone.
  void keep(shm::RingWriter& writer, const record::RowTemplate& shape, uint64_t seq, uint64_t step,
            int64_t time_ns, const uint64_t* bits);
  // Writes kept rows while there is room.  True when none is left.
  bool write(shm::RingWriter& writer);
  // Gives the rest up: what comes next must not wait for them.
  void drop() { rows_.clear(); }

 private:
  struct Row {
    record::RowTemplate shape;
    uint64_t seq;
    uint64_t step;
    int64_t time_ns;
    std::vector<uint64_t> bits;
  };
  std::vector<Row> rows_;  // one per kind, ordered by seq
};

}  // namespace ringlog::client
