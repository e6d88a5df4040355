#pragma once
// RunIndex: where the rows of a run are: its lanes and the headers of their chunks.  Internal to
// lib/store.
//
// A value read from one snapshot; about 250 bytes a chunk.  Constant after load(), so any thread
// may read it.

#include <leveldb/db.h>
#include <ringlog/result.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "store/chunk.h"
#include "store/model.h"

namespace ringlog::store {

struct Lane {
  LaneId id;
  const ProducerState* producer = nullptr;  // in RunIndex::producers
  std::vector<ChunkInfo> chunks;            // by first_seq
};

struct RunIndex {
  std::map<uint32_t, KeySet> key_sets;
  std::map<uint32_t, ProducerState> producers;
  std::vector<Lane> lanes;          // by rank, attempt, worker, ring
  uint64_t commit_number = 0;       // of the last commit
  uint64_t final_lsn = 0;           // chunks below it are never deleted
  std::vector<std::string> damage;  // chunks that cannot be used, a line each
  LastIds last_ids;                 // that chunks name, those that cannot be used too

  RunIndex() = default;
  RunIndex(const RunIndex&) = delete;
  RunIndex& operator=(const RunIndex&) = delete;

  // Reads all of it; call once.  What `previous` (may be null), read from an older view of the same
  // store, knows of chunks that cannot change any more is taken over.  kIo, kCorrupt.
  Status load(leveldb::DB& db, std::unique_ptr<RunIndex> previous);

  // Internal: the parts of load().
  using ChunksByLane = std::map<LaneId, std::vector<ChunkInfo>>;
  Status load_state(leveldb::DB& db);
  Status load_chunks(leveldb::DB& db, uint64_t from_lsn, ChunksByLane& chunks);

  const KeySet& keys_of(const ChunkInfo& chunk) const { return key_sets.at(chunk.key_set); }
};

// True when the column is what `name` (a name for people or a path) means.
bool is_metric(const Column& column, std::string_view name);

}  // namespace ringlog::store
