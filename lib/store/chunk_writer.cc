#include "store/chunk_writer.h"

#include <leveldb/write_batch.h>

#include <algorithm>
#include <utility>

#include "store/keys.h"

namespace ringlog::store {

namespace {

bool is_large(size_t rows, size_t bytes) {
  return rows >= kChunkRowsDirect || bytes >= kChunkBytesDirect;
}

bool is_full(size_t rows, size_t bytes) { return rows >= kChunkRowsMax || bytes >= kChunkBytesMax; }

// Where the next chunk of rows [begin, end) ends.  Rows of numbers are split evenly, so that no
// small chunk is left over.
size_t chunk_end(const RowBlock& rows, size_t begin, size_t end) {
  const size_t count = end - begin;
  if (rows.byte_count == 0) {
    const size_t row_size = rows.raw_size(begin, begin + 1);
    const size_t rows_max = std::clamp<size_t>(kChunkBytesMax / row_size, 1, kChunkRowsMax);
    const size_t chunks = (count + rows_max - 1) / rows_max;
    return begin + (count + chunks - 1) / chunks;
  }
  size_t at = begin + 1;
  while (at < end && at - begin < kChunkRowsMax && rows.raw_size(begin, at + 1) <= kChunkBytesMax) {
    ++at;
  }
  return at;
}

}  // namespace

void ChunkWriter::begin(uint64_t& next_lsn, leveldb::WriteBatch& batch) {
  next_lsn_ = &next_lsn;
  batch_ = &batch;
  written_ = {};
}

ChunkWriter::Open& ChunkWriter::touch(const Key& key, const RowBlock& block, const KeySet& keys) {
  Open& open = open_[key];
  if (open.keys == nullptr) {
    open.rows = RowBlock(block.lane(), keys);
    open.keys = &keys;
  }
  if (!open.is_touched) {
    open.is_touched = true;
    open.rows_before = open.rows.rows();
    open.parts_before = open.parts;
  }
  return open;
}

Result<ChunkWriter::Part> ChunkWriter::write_chunk(const RowBlock& rows, size_t begin, size_t end,
                                                   const KeySet& keys, Effort effort) {
  Result<EncodedChunk> chunk = encoder_.encode(rows, begin, end, keys, effort);
  if (!chunk) return chunk.take_error();
  const uint64_t lsn = (*next_lsn_)++;
  for (size_t i = 0; i < chunk->pages.size(); ++i) {
    batch_->Put(key::page(lsn, static_cast<uint16_t>(i)), chunk->pages[i]);
  }
  batch_->Put(key::chunk(lsn), chunk->header);
  ++written_.chunks;
  return Part{lsn, static_cast<uint16_t>(chunk->pages.size()), end - begin, true};
}

Status ChunkWriter::write_full(const RowBlock& rows, size_t begin, size_t end, const KeySet& keys,
                               Effort effort) {
  while (begin < end) {
    const size_t next = chunk_end(rows, begin, end);
    Result<Part> part = write_chunk(rows, begin, next, keys, effort);
    if (!part) return part.take_error();
    begin = next;
  }
  return Done{};
}

void ChunkWriter::delete_part(const Part& part) {
  for (uint16_t page = 0; page < part.pages; ++page) batch_->Delete(key::page(part.lsn, page));
  batch_->Delete(key::chunk(part.lsn));
}

Status ChunkWriter::add(const RowBlock& block, const KeySet& keys) {
  if (block.empty()) return Done{};
  written_.rows += block.rows();
  written_.raw_bytes += block.raw_size();
  const Key key{block.producer, block.ring, block.key_set};
  const bool large = is_large(block.rows(), block.raw_size());
  const auto found = open_.find(key);
  if (large && (found == open_.end() || found->second.pending() == 0)) {
    return write_full(block, 0, block.rows(), keys, Effort::kFull);
  }
  Open& open = touch(key, block, keys);
  // Rows that go back would make a chunk that is not in order.
  if (open.pending() > 0 && open.rows.seq.back() >= block.seq.front()) {
    if (Status closed = close(open); !closed) return closed;
  }
  open.rows.append(block, 0, block.rows());
  if (large || is_full(open.pending(), open.pending_bytes())) {
    written_.rows_merged += open.pending() - block.rows();
    for (const Part& part : open.parts) delete_part(part);
    open.parts.clear();
    const Effort effort = large ? Effort::kFull : Effort::kBest;
    Status written = write_full(open.rows, open.done, open.rows.rows(), keys, effort);
    open.done = open.rows.rows();
    return written;
  }
  return add_part(open, block.rows());
}

Status ChunkWriter::add_part(Open& open, size_t new_rows) {
  const size_t end = open.rows.rows();
  Result<Part> part = write_chunk(open.rows, end - new_rows, end, *open.keys, Effort::kQuick);
  if (!part) return part.take_error();
  open.parts.push_back(*part);
  const auto small =
      std::count_if(open.parts.begin(), open.parts.end(), [](const Part& p) { return p.is_small; });
  return static_cast<size_t>(small) < kOpenPartsMax ? Status(Done{}) : merge_small_parts(open);
}

// The small parts are the last ones.
Status ChunkWriter::merge_small_parts(Open& open) {
  size_t rows = 0;
  while (!open.parts.empty() && open.parts.back().is_small) {
    rows += open.parts.back().rows;
    delete_part(open.parts.back());
    open.parts.pop_back();
  }
  const size_t end = open.rows.rows();
  Result<Part> part = write_chunk(open.rows, end - rows, end, *open.keys, Effort::kQuick);
  if (!part) return part.take_error();
  written_.rows_merged += rows;
  part->is_small = false;
  open.parts.push_back(*part);
  return Done{};
}

// A single part is left as it is: writing it again would save less than it costs.
Status ChunkWriter::close(Open& open) {
  Status written = Done{};
  if (open.parts.size() > 1) {
    for (const Part& part : open.parts) delete_part(part);
    written_.rows_merged += open.pending();
    written = write_full(open.rows, open.done, open.rows.rows(), *open.keys, Effort::kBest);
  }
  open.parts.clear();
  open.done = open.rows.rows();
  return written;
}

Status ChunkWriter::close(uint32_t producer) {
  const auto begin = open_.lower_bound(Key{producer, 0, 0});
  for (auto it = begin; it != open_.end() && std::get<0>(it->first) == producer; ++it) {
    Open& open = touch(it->first, it->second.rows, *it->second.keys);
    if (Status closed = close(open); !closed) return closed;
  }
  return Done{};
}

uint64_t ChunkWriter::final_lsn() const {
  uint64_t lsn = *next_lsn_;
  for (const auto& [key, open] : open_) {
    if (!open.parts.empty()) lsn = std::min(lsn, open.parts.front().lsn);
  }
  return lsn;
}

Status ChunkWriter::close_excess() {
  for (auto& [key, open] : open_) {
    if (open.parts.empty() || open.parts.front().lsn + kOpenLsnSpanMax >= *next_lsn_) continue;
    if (Status closed = close(touch(key, open.rows, *open.keys)); !closed) return closed;
  }
  size_t total = 0;
  for (const auto& [key, open] : open_) total += open.pending_bytes();
  while (total > kOpenBytesMax) {
    const auto largest = std::max_element(open_.begin(), open_.end(), [](auto& a, auto& b) {
      return a.second.pending_bytes() < b.second.pending_bytes();
    });
    total -= largest->second.pending_bytes();
    Open& open = touch(largest->first, largest->second.rows, *largest->second.keys);
    if (Status closed = close(open); !closed) return closed;
  }
  return Done{};
}

void ChunkWriter::accept() {
  for (auto it = open_.begin(); it != open_.end();) {
    Open& open = it->second;
    if (open.is_touched) {
      open.rows.drop_front(open.done);
      open.done = 0;
      open.is_touched = false;
      open.parts_before.clear();
    }
    it = open.rows.empty() ? open_.erase(it) : std::next(it);
  }
}

void ChunkWriter::reject() {
  for (auto it = open_.begin(); it != open_.end();) {
    Open& open = it->second;
    if (open.is_touched) {
      open.rows.truncate(open.rows_before);
      open.parts = std::move(open.parts_before);
      open.parts_before.clear();
      open.done = 0;
      open.is_touched = false;
    }
    it = open.rows.empty() ? open_.erase(it) : std::next(it);
  }
}

}  // namespace ringlog::store
