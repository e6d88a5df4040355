#include "store/row_walk.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace ringlog::store {

namespace {

template <typename T>
bool allows(const std::vector<T>& list, T value) {
  return list.empty() || std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

RowWalk::RowWalk(const RunIndex& index, const ValueSource& source, const RowFilter& filter,
                 Depth depth)
    : index_(index), source_(source), filter_(filter), depth_(depth) {}

Status RowWalk::select_columns() {
  std::vector<bool> found(filter_.metrics.size());
  for (const auto& [id, keys] : index_.key_sets) {
    std::vector<size_t>& selected = columns_[id];
    for (size_t i = 0; i < keys.columns.size(); ++i) {
      bool is_wanted = filter_.metrics.empty();
      for (size_t k = 0; k < filter_.metrics.size(); ++k) {
        if (!is_metric(keys.columns[i], filter_.metrics[k])) continue;
        is_wanted = true;
        found[k] = true;
      }
      if (is_wanted) selected.push_back(i);
    }
  }
  for (size_t k = 0; k < found.size(); ++k) {
    if (!found[k]) return Error{Code::kNotFound, "no row has a metric " + filter_.metrics[k]};
  }
  return Done{};
}

bool RowWalk::wants(const Lane& lane) const {
  return allows(filter_.ranks, lane.producer->rank) &&
         allows(filter_.attempts, lane.producer->attempt) &&
         allows(filter_.producers, lane.id.producer);
}

bool RowWalk::wants(const ChunkInfo& chunk) const {
  const bool in_range = chunk.last_seq >= seq_begin_ && chunk.first_seq < seq_end_ &&
                        chunk.max_step >= filter_.step_begin && chunk.min_step <= filter_.step_last;
  return in_range && (filter_.metrics.empty() || !columns_.at(chunk.key_set).empty());
}

Status RowWalk::decode(const ChunkInfo& chunk, Decoded& out) {
  DecodeWish wish{.step = false, .time = false};
  if (depth_ == Depth::kRows) wish = {.columns = columns_.at(chunk.key_set)};
  Result<DecodedChunk> decoded = decode_chunk(chunk, index_.keys_of(chunk), source_, wish);
  if (!decoded) return decoded.take_error();
  out.chunk = std::move(*decoded);
  const std::vector<uint64_t>& seq = out.chunk.seq;
  out.row = static_cast<size_t>(std::lower_bound(seq.begin(), seq.end(), seq_begin_) - seq.begin());
  return Done{};
}

// Visits rows up to `last_seq`; false: the visitor wants no more.
bool RowWalk::visit_until(const Lane& lane, Decoded& decoded, uint64_t last_seq,
                          const RowVisitor& visitor) {
  const ChunkInfo& info = decoded.chunk.info;
  static const std::vector<size_t> kNoColumns;
  RowView view(*lane.producer, index_.keys_of(info), decoded.chunk,
               depth_ == Depth::kRows ? columns_.at(info.key_set) : kNoColumns);
  const bool checks_step = info.min_step < filter_.step_begin || info.max_step > filter_.step_last;
  const uint64_t end = std::min(seq_end_, last_seq == UINT64_MAX ? last_seq : last_seq + 1);
  for (; decoded.row < info.rows && decoded.chunk.seq[decoded.row] < end; ++decoded.row) {
    view.move_to(decoded.row);
    if (checks_step) {
      const uint64_t step = view.step();
      if (step < filter_.step_begin || step > filter_.step_last) continue;
    }
    if (rows_left_ == 0) return true;
    --rows_left_;
    ++visited_;
    if (!visitor(view)) return false;
  }
  return true;
}

// Chunks of several key sets, and after a fault even of one, may overlap: their rows are merged.
Status RowWalk::walk(const Lane& lane, const RowVisitor& visitor) {
  std::priority_queue<Cursor, std::vector<Cursor>, std::greater<>> queue;
  for (size_t i = 0; i < lane.chunks.size(); ++i) {
    if (wants(lane.chunks[i])) queue.push({lane.chunks[i].first_seq, i});
  }
  while (!queue.empty() && !is_stopped_ && rows_left_ > 0) {
    const Cursor cursor = queue.top();
    queue.pop();
    const auto [it, is_new] = decoded_.try_emplace(cursor.chunk);
    Decoded& decoded = it->second;
    if (is_new) {
      if (Status read = decode(lane.chunks[cursor.chunk], decoded); !read) return read;
    }
    const uint64_t last_seq = queue.empty() ? UINT64_MAX : queue.top().seq;
    is_stopped_ = !visit_until(lane, decoded, last_seq, visitor);
    const bool is_done =
        decoded.row >= decoded.chunk.info.rows || decoded.chunk.seq[decoded.row] >= seq_end_;
    if (is_done) {
      decoded_.erase(it);
    } else {
      queue.push({decoded.chunk.seq[decoded.row], cursor.chunk});
    }
  }
  return Done{};
}

Result<uint64_t> RowWalk::run(const RowVisitor& visitor) {
  if (Status selected = select_columns(); !selected) return selected.take_error();
  for (const Lane& lane : index_.lanes) {
    if (is_stopped_) break;
    if (!wants(lane)) continue;
    const auto from = filter_.from.find(lane.id);
    seq_begin_ = std::max(filter_.seq_begin, from == filter_.from.end() ? 0 : from->second);
    seq_end_ = filter_.seq_end;
    if (filter_.to) {
      const auto to = filter_.to->find(lane.id);
      seq_end_ = std::min(seq_end_, to == filter_.to->end() ? 0 : to->second);
    }
    rows_left_ = filter_.rows_of_lane;
    decoded_.clear();
    if (Status walked = walk(lane, visitor); !walked) return walked.take_error();
  }
  return visited_;
}

}  // namespace ringlog::store
