#include "client/pending_rows.h"

#include "shm/failpoint.h"

#include <algorithm>

namespace ringlog::client {

void PendingRows::keep(shm::RingWriter& writer, const record::RowTemplate& shape, uint64_t seq,
                       uint64_t step, int64_t time_ns, const uint64_t* bits) {
  const auto same = std::find_if(rows_.begin(), rows_.end(),
                                 [&](const Row& row) { return row.shape.kind() == shape.kind(); });
  if (same != rows_.end()) rows_.erase(same);
  rows_.push_back({shape, seq, step, time_ns, {bits, bits + shape.key_count}});
  writer.count_drop();
}

bool PendingRows::write(shm::RingWriter& writer) {
  size_t written = 0;
  for (const Row& row : rows_) {
    std::byte* const at = writer.try_reserve(row.shape.bytes);
    if (at == nullptr) break;
    record::write_row(at, row.shape, row.seq, row.step, row.time_ns, row.bits.data());
    writer.commit(row.shape.bytes);
    RINGLOG_FAILPOINT("before_take_back");
    writer.take_back_drop();
    ++written;
  }
  rows_.erase(rows_.begin(), rows_.begin() + static_cast<std::ptrdiff_t>(written));
  return rows_.empty();
}

}  // namespace ringlog::client
