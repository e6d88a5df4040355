// Rows as columns: RunReader::table().

#include <ringlog/reader.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <map>
#include <unordered_map>
#include <utility>

#include "reader/impl.h"
#include "record/path.h"
#include "store/row_json.h"

namespace ringlog::reader {

namespace {

// One column while it grows.
struct Cells {
  ColumnKind kind = ColumnKind::kFloat64;
  std::vector<uint8_t> has_value{};
  std::vector<double> float64{};
  std::vector<int64_t> int64{};
  std::vector<uint64_t> uint64{};
  std::deque<std::string> strings{};  // they stay where they are
  std::vector<std::string_view> text{};

  // Cells of rows without the metric.
  void pad(size_t rows) {
    has_value.resize(rows);
    if (kind == ColumnKind::kFloat64) float64.resize(rows);
    if (kind == ColumnKind::kInt64) int64.resize(rows);
    if (kind == ColumnKind::kUint64 || kind == ColumnKind::kBool) uint64.resize(rows);
    if (kind == ColumnKind::kText) text.resize(rows);
  }
  // The cell of the last row of `rows`; of a key used twice in a row the last one stays.
  Status set(size_t rows, const store::RowView& row, size_t cell);
};

Result<std::string> text_of(const store::RowView& row, size_t cell) {
  auto value = row.value(cell);
  if (!value) return value.take_error();
  if (const std::string* text = value->text()) return *text;
  return store::to_json(*value);
}

Status Cells::set(size_t rows, const store::RowView& row, size_t cell) {
  pad(rows);
  has_value.back() = 1;
  switch (kind) {
    case ColumnKind::kFloat64:
      // Bits, not values: a NaN keeps its payload.
      float64.back() = row.column(cell).type == store::ColumnType::kFloat64
                           ? std::bit_cast<double>(row.bits(cell))
                           : row.number(cell);
      return Done{};
    case ColumnKind::kInt64:
      int64.back() = static_cast<int64_t>(row.bits(cell));
      return Done{};
    case ColumnKind::kUint64:
    case ColumnKind::kBool:
      uint64.back() = row.bits(cell);
      return Done{};
    case ColumnKind::kText:
      break;
  }
  auto value = text_of(row, cell);
  if (!value) return value.take_error().in("metric " + record::display_path(row.column(cell).path));
  strings.push_back(*std::move(value));
  text.back() = strings.back();
  return Done{};
}

// A table while it grows, and then what its spans point to.
struct Memory {
  std::vector<int32_t> rank, attempt;
  std::vector<uint32_t> worker;
  std::vector<uint64_t> seq, step;
  std::vector<int64_t> time_ns;
  std::vector<Cells> columns;
  std::map<std::string, size_t, std::less<>> places;                              // by path
  std::unordered_map<uint32_t, std::vector<std::pair<size_t, size_t>>> key_sets;  // cell → column

  Status add(const store::RowView& row);
};

Status Memory::add(const store::RowView& row) {
  const store::ProducerState& producer = row.producer();
  rank.push_back(producer.rank);
  attempt.push_back(producer.attempt);
  worker.push_back(producer.worker);
  seq.push_back(row.public_seq());
  step.push_back(row.step());
  time_ns.push_back(row.time_ns());
  const auto [known, is_new] = key_sets.try_emplace(row.keys().id);
  for (size_t i = 0; is_new && i < row.size(); ++i) {
    const auto place = places.find(row.column(i).path);
    if (place != places.end()) known->second.emplace_back(i, place->second);
  }
  for (const auto& [cell, column] : known->second) {
    if (Status s = columns[column].set(rank.size(), row, cell); !s) return s;
  }
  return Done{};
}

TableColumn column_of(const store::Metric& metric, const Cells& cells) {
  return {metric.name,   metric.path, cells.kind,   cells.has_value,
          cells.float64, cells.int64, cells.uint64, cells.text};
}

}  // namespace

bool is_wanted(const store::Metric& metric, const std::vector<std::string>& names) {
  return names.empty() || std::any_of(names.begin(), names.end(), [&](const std::string& name) {
           return name == metric.path || name == metric.name;
         });
}

store::RowFilter filter_of(const TableRequest& request, const store::Cursors& from) {
  store::RowFilter filter;
  filter.metrics = request.metrics;
  filter.ranks = request.ranks;
  filter.attempts = request.attempts;
  filter.step_begin = request.step_begin;
  filter.step_last = request.step_last;
  filter.from = from;
  return filter;
}

Result<Table> read_table(store::RunReader& store, const TableRequest& request,
                         store::Cursors& cursors) {
  auto all = store.metrics();
  if (!all) return all.take_error();
  const store::RowFilter filter = filter_of(request, cursors);
  auto memory = std::make_shared<Memory>();
  std::vector<const store::Metric*> wanted;
  for (const store::Metric& metric : *all) {
    if (!is_wanted(metric, request.metrics)) continue;
    memory->places[metric.path] = wanted.size();
    wanted.push_back(&metric);
    memory->columns.emplace_back().kind = kind_of(metric);
  }
  Status added = Done{};
  auto visited = store.for_each_row(filter, [&](const store::RowView& row) {
    if (memory->rank.size() >= request.max_rows) return false;
    added = memory->add(row);
    cursors[{row.producer().producer, row.ring()}] = row.seq() + 1;
    return static_cast<bool>(added);
  });
  if (!added) return added.take_error();
  if (!visited) return visited.take_error();
  Table table;
  for (size_t i = 0; i < wanted.size(); ++i) {
    memory->columns[i].pad(memory->rank.size());
    table.columns.push_back(column_of(*wanted[i], memory->columns[i]));
  }
  table.rank = memory->rank;
  table.attempt = memory->attempt;
  table.worker = memory->worker;
  table.seq = memory->seq;
  table.step = memory->step;
  table.time_ns = memory->time_ns;
  table.memory = std::move(memory);
  return table;
}

}  // namespace ringlog::reader
