#include "store/run_index.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "record/path.h"
#include "store/keys.h"
#include "store/limits.h"
#include "store/scan.h"

namespace ringlog::store {

namespace {

void add_damage(RunIndex& index, std::string line) {
  if (index.damage.size() < kDamageLinesMax) index.damage.push_back(std::move(line));
}

auto order_of(const Lane& lane) {
  const ProducerState& p = *lane.producer;
  return std::tuple(p.rank, p.attempt, p.worker, lane.id.producer, lane.id.ring);
}

bool comes_first(const ChunkInfo& a, const ChunkInfo& b) {
  return std::tuple(a.first_seq, a.lsn) < std::tuple(b.first_seq, b.lsn);
}

}  // namespace

// Key sets, producers, and which chunks are final.
Status RunIndex::load_state(leveldb::DB& db) {
  Result<std::vector<KeySet>> stored_keys = read_key_sets(db);
  if (!stored_keys) return stored_keys.take_error();
  for (KeySet& keys : *stored_keys) {
    const uint32_t id = keys.id;
    key_sets[id] = std::move(keys);
  }
  Result<std::vector<ProducerState>> stored_producers = read_producers(db);
  if (!stored_producers) return stored_producers.take_error();
  for (ProducerState& producer : *stored_producers) {
    const uint32_t id = producer.producer;
    producers[id] = std::move(producer);
  }
  Result<std::string> commit = get_newest(db, key::commit());
  if (!commit && commit.error().code != Code::kNotFound) return commit.take_error();
  if (commit) {
    const CommitState state = CommitState::from_bytes(*commit);
    commit_number = state.number;
    final_lsn = state.final_lsn;
  }
  return Done{};
}

Status RunIndex::load_chunks(leveldb::DB& db, uint64_t from_lsn, ChunksByLane& chunks) {
  const KeyVisitor visit = [&](std::string_view key, std::string_view value) -> Result<bool> {
    const uint64_t lsn = key::lsn_of(key, tag::kChunk).value_or(0);
    Result<ChunkInfo> info = read_chunk_header(lsn, value);
    if (info) {
      last_ids.producer = std::max(last_ids.producer, info->lane.producer);
      last_ids.key_set = std::max(last_ids.key_set, info->key_set);
    }
    if (!info) {
      add_damage(*this, info.error().message);
    } else if (!key_sets.contains(info->key_set)) {
      add_damage(*this, "chunk " + std::to_string(lsn) + ": its key set " +
                            std::to_string(info->key_set) + " is missing");
    } else {
      chunks[info->lane].push_back(*info);
    }
    return true;
  };
  return scan_prefix(db, {tag::kChunk}, visit, key::chunk(from_lsn));
}

Status RunIndex::load(leveldb::DB& db, std::unique_ptr<RunIndex> previous) {
  if (Status read = load_state(db); !read) return read;
  ChunksByLane chunks;
  uint64_t from_lsn = 0;
  // Fewer commits than before: it is another run in the same place.
  const bool is_older = previous != nullptr && previous->commit_number <= commit_number;
  if (is_older && previous->damage.empty()) {
    from_lsn = previous->final_lsn;
    last_ids = previous->last_ids;
    for (Lane& lane : previous->lanes) {
      std::erase_if(lane.chunks, [&](const ChunkInfo& chunk) { return chunk.lsn >= from_lsn; });
      if (!lane.chunks.empty()) chunks[lane.id] = std::move(lane.chunks);
    }
  }
  if (Status read = load_chunks(db, from_lsn, chunks); !read) return read;
  for (auto& [id, list] : chunks) {
    const auto [producer, is_unknown] = producers.try_emplace(id.producer);
    if (is_unknown) {
      producer->second.producer = id.producer;
      add_damage(*this, "producer " + std::to_string(id.producer) + ": its state is missing");
    }
    if (!std::is_sorted(list.begin(), list.end(), comes_first)) {
      std::sort(list.begin(), list.end(), comes_first);
    }
    lanes.push_back({id, &producer->second, std::move(list)});
  }
  std::sort(lanes.begin(), lanes.end(),
            [](const Lane& a, const Lane& b) { return order_of(a) < order_of(b); });
  return Done{};
}

bool is_metric(const Column& column, std::string_view name) {
  return column.path == name || record::display_path(column.path) == name;
}

}  // namespace ringlog::store
