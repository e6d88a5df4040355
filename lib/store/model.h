#pragma once
// What a store holds, as plain values; schema/chunk.capnp describes the fields.
//
// Everything here is a value: it copies, owns its memory, and has no thread of its own.  The
// functions at the end turn the values into the bytes that stand on disk and back.

#include <ringlog/result.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/stats.h"

namespace ringlog::store {

// How the eight bytes of a cell are read.  Same numbers as schema ColumnType.
enum class ColumnType : uint8_t {
  kFloat64 = 0,
  kInt64 = 1,
  kUint64 = 2,
  kBool = 3,
  kOther = 4,  // not eight bytes but a serialised schema Value (flat message, one segment)
};

struct Column {
  std::string path{};  // UTF-8; nested keys joined as lib/record/path.h says
  ColumnType type = ColumnType::kFloat64;
  auto operator<=>(const Column&) const = default;
};

// The columns of the rows that name its id.
struct KeySet {
  uint32_t id = 0;  // unique in the run, chosen by the handler, from 1
  std::vector<Column> columns{};

  size_t number_count() const;  // columns of eight-byte cells
  size_t byte_count() const { return columns.size() - number_count(); }
  bool operator==(const KeySet&) const = default;
};

// One ring of one producer: the unit in which sequence numbers rise.
struct LaneId {
  uint32_t producer = 0;
  uint16_t ring = 0;
  auto operator<=>(const LaneId&) const = default;
};

// Lane → first sequence number not seen yet.
using Cursors = std::map<LaneId, uint64_t>;

// The highest ids that were given away; 0: none.
struct LastIds {
  uint32_t producer = 0;
  uint32_t key_set = 0;
};

// Sequence numbers end here: at a million rows a second, after twelve days in one ring.
inline constexpr int kSeqBits = 40;
inline constexpr uint64_t kSeqEnd = uint64_t{1} << kSeqBits;

// The `_seq` that people see: unique within a rank's attempt, and the plain number for rows of the
// rank's own process and first ring.
constexpr uint64_t public_seq(uint32_t worker, uint16_t ring, uint64_t seq) {
  const uint64_t lane = uint64_t{worker} * 16 + ring;
  return (lane << kSeqBits) | seq;
}

// Rows of one key set from one lane, in rising seq, as the handler collects them.
//
// Cells stand row by row: a row of numbers is added with one copy, and the store turns them into
// columns when it compresses.
struct RowBlock {
  uint32_t producer = 0;
  uint16_t ring = 0;
  uint32_t key_set = 0;
  size_t number_count = 0;  // of the key set
  size_t byte_count = 0;    // of the key set

  std::vector<uint64_t> seq{};
  std::vector<uint64_t> step{};
  std::vector<int64_t> time_ns{};
  std::vector<uint64_t> cells{};      // rows × number_count: bits, in the key set's column order
  std::string bytes{};                // the byte cells one after another…
  std::vector<uint64_t> byte_ends{};  // …rows × byte_count: where each one ends in `bytes`

  RowBlock() = default;
  RowBlock(LaneId lane, const KeySet& keys);

  size_t rows() const { return seq.size(); }
  bool empty() const { return seq.empty(); }
  LaneId lane() const { return {producer, ring}; }
  // Bytes in memory that rows [begin, end) need; the unit of the store's budgets.
  size_t raw_size(size_t begin, size_t end) const;
  size_t raw_size() const { return raw_size(0, rows()); }

  // Both require as many values as the key set has columns of that sort.
  void add_row(uint64_t row_seq, uint64_t row_step, int64_t row_time_ns,
               std::span<const uint64_t> numbers) {
    seq.push_back(row_seq);
    step.push_back(row_step);
    time_ns.push_back(row_time_ns);
    cells.insert(cells.end(), numbers.begin(), numbers.end());
  }
  void add_row(uint64_t row_seq, uint64_t row_step, int64_t row_time_ns,
               std::span<const uint64_t> numbers, std::span<const std::string_view> values);

  // Appends rows [begin, end) of `other`, which has the same lane and key set.
  void append(const RowBlock& other, size_t begin, size_t end);
  // Keeps the first `count` rows.
  void truncate(size_t count);
  // Drops the first `count` rows.
  void drop_front(size_t count);
  // Forgets the rows, keeps the memory.
  void clear() { truncate(0); }

  std::string_view byte_cell(size_t row, size_t index) const;
};

// Written when the run is created and when its description changes.
struct RunMeta {
  std::string run_id{};
  std::string project{};
  std::string name{};
  std::string group{};
  std::vector<std::string> tags{};
  std::string notes{};
  int64_t created_ns = 0;
  std::string host{};
  std::vector<std::string> command{};
  std::string version{};
  std::vector<std::string> sinks{};
  std::string state{};
  int64_t ended_ns = 0;    // 0: not ended
  bool is_synced = false;  // every commit is synced
  int32_t monitor_ms = 0;  // between samples of the machine; 0: default, -1: none
  bool operator==(const RunMeta&) const = default;
};

// Everything before `position` in this ring is in the store.
struct RingState {
  uint64_t position = 0;
  uint64_t next_seq = 0;     // attempts up to here
  uint64_t drained_seq = 0;  // of them those before `position`: no record behind it has a lower seq
  uint64_t stored = 0;
  uint64_t dropped = 0;
  uint64_t missing = 0;
  std::vector<std::pair<uint16_t, uint32_t>> key_sets{};  // kind → key set id
  std::string poisoned{};
  bool operator==(const RingState&) const = default;
};

// What a process said of its own end.
struct SaidEnd {
  int32_t exit_code = 0;
  int32_t signal = 0;
  bool is_implied = false;  // it was destroyed and not finished
  bool operator==(const SaidEnd&) const = default;
};

// One attached process: who it is, how far its rings are stored, how it ended.
struct ProducerState {
  uint32_t producer = 0;  // id in the run, from 1
  int32_t rank = 0;
  int32_t attempt = 0;
  uint32_t worker = 0;
  int32_t pid = 0;
  uint64_t pid_start = 0;
  std::string host{};
  std::string state{};
  int32_t exit_code = 0;
  int32_t signal = 0;
  std::string cause{};
  int64_t started_ns = 0;
  int64_t ended_ns = 0;
  std::string segment{};
  std::vector<RingState> rings{};  // by ring index
  uint64_t next_step = 0;
  int32_t local_rank = 0;
  int32_t world_size = 0;
  // It was ended without its segment: what it committed last was never read.
  bool is_end_unread = false;
  uint64_t lost_records = 0;  // that are no rows and that it could not write
  std::optional<SaidEnd> said_end{};
  // It ended by being destroyed, and well: what its process exits with counts more.  Not stored,
  // but told from said_end by who reads the state of one that has ended.
  bool is_end_implied = false;
  // All it said of its end is that it was destroyed, and well.
  bool has_said_implied_end() const {
    return said_end && said_end->is_implied && said_end->exit_code == 0;
  }
  // A ring of it is not read any more.
  bool is_poisoned() const {
    return std::any_of(rings.begin(), rings.end(),
                       [](const RingState& ring) { return !ring.poisoned.empty(); });
  }
  bool operator==(const ProducerState&) const = default;
};

// What one sink has acknowledged.
struct SinkState {
  uint64_t chunk_lsn = 0;
  uint64_t record_lsn = 0;
  Cursors lanes{};
  uint64_t rows = 0;
  std::string cursor{};
  uint64_t left_out = 0;
  bool operator==(const SinkState&) const = default;
};

// Anything that is not a row: config, console, alerts…
struct RecordEntry {
  uint32_t producer = 0;  // 0: the service itself
  uint64_t seq = 0;       // rows of the lane before it
  std::string message{};  // schema Record as a flat message of one segment, unframed
};

struct BlobId {
  uint32_t producer = 0;
  uint64_t id = 0;
  auto operator<=>(const BlobId&) const = default;
};

// What becomes visible together or not at all.
struct Commit {
  std::vector<KeySet> key_sets{};  // new ones; must be in the store no later than their first row
  std::vector<RowBlock> blocks{};
  std::vector<RecordEntry> records{};
  std::vector<Stats> stats{};              // each with a first sample later than those before
  std::vector<ProducerState> producers{};  // changed ones, whole
  std::optional<RunMeta> meta{};           // when it changed
  std::vector<BlobId> consumed_blobs{};    // their records are among `records` or `blocks`
  std::vector<uint32_t> ended{};           // producers that write no more: their chunks are closed
  std::vector<uint32_t> gone{};  // of which nothing comes any more: their blobs are deleted

  bool empty() const;
};

// To and from the packed Cap'n Proto bytes on disk.  from_bytes: kCorrupt when it is not such a
// message.
std::string to_bytes(const KeySet& value);
std::string to_bytes(const RunMeta& value);
std::string to_bytes(const ProducerState& value);
std::string to_bytes(const SinkState& value);
std::string to_bytes(const Stats& value);
template <typename T>
Result<T> from_bytes(std::string_view bytes);
template <>
Result<KeySet> from_bytes(std::string_view bytes);  // the id is in the key
template <>
Result<RunMeta> from_bytes(std::string_view bytes);
template <>
Result<ProducerState> from_bytes(std::string_view bytes);
template <>
Result<SinkState> from_bytes(std::string_view bytes);
template <>
Result<Stats> from_bytes(std::string_view bytes);

}  // namespace ringlog::store
