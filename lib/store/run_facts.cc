#include "store/run_facts.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "record/path.h"
#include "schema/chunk.capnp.h"
#include "store/keys.h"
#include "store/packed.h"
#include "store/row_walk.h"
#include "store/scan.h"
#include "store/tree_read.h"

namespace ringlog::store {

namespace {

// The chunk whose last row has a metric's last value, and how it compares with others.
struct LastValue {
  const Lane* lane = nullptr;
  const ChunkInfo* chunk = nullptr;
  size_t column = 0;

  // The lowest rank, of it the newest attempt, of that the latest row.
  auto order() const {
    const ProducerState& p = *lane->producer;
    return std::tuple(-int64_t{p.rank}, int64_t{p.attempt}, chunk->max_time_ns, chunk->last_seq);
  }
};

// Path → where its last value is.
std::map<std::string, LastValue> last_values(const RunIndex& index) {
  std::map<std::string, LastValue> last;
  for (const Lane& lane : index.lanes) {
    std::map<uint32_t, const ChunkInfo*> newest;  // by key set
    for (const ChunkInfo& chunk : lane.chunks) newest[chunk.key_set] = &chunk;
    for (const auto& [id, chunk] : newest) {
      const KeySet& keys = index.keys_of(*chunk);
      for (size_t i = 0; i < keys.columns.size(); ++i) {
        const LastValue value{&lane, chunk, i};
        LastValue& best = last[keys.columns[i].path];
        if (best.chunk == nullptr || best.order() < value.order()) best = value;
      }
    }
  }
  return last;
}

// The last cells of one chunk's columns.
Status take_last_cells(const RunIndex& index, const ValueSource& source, const LastValue& any,
                       std::vector<size_t> columns, std::map<std::string, LastCell>& into) {
  std::sort(columns.begin(), columns.end());
  const KeySet& keys = index.keys_of(*any.chunk);
  Result<DecodedChunk> chunk = decode_chunk(*any.chunk, keys, source, {.columns = columns});
  if (!chunk) return chunk.take_error();
  RowView row(*any.lane->producer, keys, *chunk, columns);
  row.move_to(any.chunk->rows - 1);
  for (size_t i = 0; i < columns.size(); ++i) {
    Result<Tree> value = row.value(i);
    if (!value) return value.take_error();
    into[row.column(i).path] = {any.lane->producer->rank,
                                {any.lane->producer->attempt, any.chunk->max_time_ns},
                                std::move(*value)};
  }
  return Done{};
}

// Folds the fields of all records of one kind.
Status fold_records(leveldb::DB& db, schema::Record::Which kind, Tree& into) {
  return visit_records(db, static_cast<uint16_t>(kind), 0, [&](const RecordView& view) {
    Tree fields;
    read_tree(kind == schema::Record::CONFIG ? view.record.getConfig() : view.record.getSummary(),
              fields);
    merge(into, fields);
    return true;
  });
}

// Ring by ring, so that one that has more than its process is known to have attempted does not make
// up for another.
uint64_t missing_rows(const ProducerState& producer, const std::map<LaneId, uint64_t>& stored) {
  uint64_t missing = 0;
  for (size_t i = 0; i < producer.rings.size(); ++i) {
    const RingState& ring = producer.rings[i];
    const auto found = stored.find({producer.producer, static_cast<uint16_t>(i)});
    const uint64_t known = ring.dropped + (found == stored.end() ? 0 : found->second);
    missing += ring.next_seq > known ? ring.next_seq - known : 0;
  }
  return missing;
}

}  // namespace

Status visit_records(leveldb::DB& db, std::optional<uint16_t> kind, uint64_t from_lsn,
                     const RecordVisitor& visitor) {
  return scan_prefix(
      db, {tag::kRecord},
      [&](std::string_view key, std::string_view value) -> Result<bool> {
        const uint64_t lsn = key::lsn_of(key, tag::kRecord).value_or(0);
        bool goes_on = true;
        Status read = unpack<schema::StoredRecord>(value, [&](auto in) -> Status {
          const schema::Record::Reader record = in.getRecord();
          if (kind && static_cast<uint16_t>(record.which()) != *kind) return Done{};
          goes_on = visitor({lsn, in.getProducer(), in.getSeq(), record});
          return Done{};
        });
        if (!read) return read.take_error().in("record " + std::to_string(lsn));
        return goes_on;
      },
      key::record(from_lsn));
}

Result<Tree> read_config(leveldb::DB& db) {
  Tree config{Tree::Object()};
  if (Status read = fold_records(db, schema::Record::CONFIG, config); !read) {
    return read.take_error();
  }
  return config;
}

Result<Tree> read_explicit_summary(leveldb::DB& db) {
  Tree summary{Tree::Object()};
  if (Status read = fold_records(db, schema::Record::SUMMARY, summary); !read) {
    return read.take_error();
  }
  return summary;
}

Result<MetricRules> read_rules(leveldb::DB& db) {
  MetricRules rules;
  Status read = visit_records(db, static_cast<uint16_t>(schema::Record::METRIC), 0,
                              [&](const RecordView& view) {
                                rules.define(view.record.getMetric());
                                return true;
                              });
  if (!read) return read.take_error();
  return rules;
}

Result<AggregatesByPath> read_aggregates(const RunIndex& index, const ValueSource& source) {
  AggregatesByPath out;
  for (const Lane& lane : index.lanes) {
    const ProducerState& producer = *lane.producer;
    for (const ChunkInfo& chunk : lane.chunks) {
      const KeySet& keys = index.keys_of(chunk);
      Result<ChunkReader> reader = ChunkReader::open(chunk, keys, source);
      if (!reader) return reader.take_error();
      for (size_t i = 0; i < keys.columns.size(); ++i) {
        const Column& column = keys.columns[i];
        if (column.type == ColumnType::kOther) continue;
        MetricAggregates& metric = out[column.path];
        metric.is_integer &= column.type != ColumnType::kFloat64;
        metric.ranks[producer.rank].add(aggregate_of(reader->lookup(i).statistics, chunk.rows,
                                                     producer.attempt, chunk.min_time_ns,
                                                     chunk.max_time_ns));
      }
    }
  }
  return out;
}

Result<std::map<std::string, LastCell>> read_last_cells(const RunIndex& index,
                                                        const ValueSource& source) {
  std::map<uint64_t, std::pair<LastValue, std::vector<size_t>>> wanted;  // by chunk
  for (const auto& [path, value] : last_values(index)) {
    auto& [chunk, columns] = wanted[value.chunk->lsn];
    chunk = value;
    columns.push_back(value.column);
  }
  std::map<std::string, LastCell> out;
  for (const auto& [lsn, entry] : wanted) {
    Status taken = take_last_cells(index, source, entry.first, entry.second, out);
    if (!taken) return taken.take_error();
  }
  return out;
}

Result<SummaryFacts> read_summary_facts(leveldb::DB& db, const RunIndex& index,
                                        const ValueSource& source, bool needs_numbers) {
  SummaryFacts facts;
  Result<MetricRules> rules = read_rules(db);
  if (!rules) return rules.take_error();
  facts.rules = std::move(*rules);
  Result<std::map<std::string, LastCell>> last = read_last_cells(index, source);
  if (!last) return last.take_error();
  facts.last = std::move(*last);
  if (needs_numbers || facts.rules.has_aggregates()) {
    Result<AggregatesByPath> numbers = read_aggregates(index, source);
    if (!numbers) return numbers.take_error();
    facts.numbers = std::move(*numbers);
  }
  for (const Lane& lane : index.lanes) {
    for (const ChunkInfo& chunk : lane.chunks) facts.rows += chunk.rows;
  }
  Result<Tree> set = read_explicit_summary(db);
  if (!set) return set.take_error();
  facts.explicit_values = std::move(*set);
  return facts;
}

std::vector<Metric> list_metrics(const RunIndex& index) {
  std::map<uint32_t, std::map<int32_t, uint64_t>> rows;  // by key set and rank
  for (const Lane& lane : index.lanes) {
    for (const ChunkInfo& chunk : lane.chunks) {
      rows[chunk.key_set][lane.producer->rank] += chunk.rows;
    }
  }
  std::map<std::string, Metric> metrics;
  for (const auto& [id, by_rank] : rows) {
    for (const Column& column : index.key_sets.at(id).columns) {
      Metric& metric = metrics[column.path];
      metric.path = column.path;
      const auto at = std::lower_bound(metric.types.begin(), metric.types.end(), column.type);
      if (at == metric.types.end() || *at != column.type) metric.types.insert(at, column.type);
      for (const auto& [rank, count] : by_rank) {
        metric.rows += count;
        metric.rows_by_rank[rank] += count;
      }
    }
  }
  std::vector<Metric> out;
  for (auto& [path, metric] : metrics) {
    metric.name = record::display_path(path);
    out.push_back(std::move(metric));
  }
  std::sort(out.begin(), out.end(), [](const Metric& a, const Metric& b) {
    return std::tie(a.name, a.path) < std::tie(b.name, b.path);
  });
  return out;
}

// Counts by reading: what the producer's state claims is not believed.
Result<std::vector<LedgerEntry>> read_ledger(const RunIndex& index, const ValueSource& source) {
  std::map<uint32_t, LedgerEntry> entries;
  for (const auto& [id, producer] : index.producers) {
    LedgerEntry& entry = entries[id];
    entry.producer = producer;
    for (const RingState& ring : producer.rings) {
      entry.attempted += ring.next_seq;
      entry.dropped += ring.dropped;
    }
  }
  std::map<LaneId, uint64_t> stored;
  std::optional<LaneId> lane;
  uint64_t last_seq = 0;
  uint64_t* stored_in_lane = nullptr;
  const RowFilter all;
  RowWalk walk(index, source, all, RowWalk::Depth::kSeqOnly);
  Result<uint64_t> visited = walk.run([&](const RowView& row) {
    const LaneId id{row.producer().producer, row.ring()};
    const uint64_t seq = row.seq();
    if (lane != id) {
      lane = id;
      stored_in_lane = &stored[id];
    } else if (seq == last_seq) {
      ++entries[id.producer].duplicated;
      return true;
    }
    last_seq = seq;
    ++*stored_in_lane;
    return true;
  });
  if (!visited) return visited.take_error();
  for (const auto& [id, rows] : stored) entries[id.producer].stored += rows;
  std::vector<LedgerEntry> out;
  for (auto& [id, found] : entries) {
    found.missing = missing_rows(found.producer, stored);
    out.push_back(std::move(found));
  }
  return out;
}

}  // namespace ringlog::store
