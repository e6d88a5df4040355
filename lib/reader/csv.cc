#include "reader/csv.h"

#include <algorithm>
#include <utility>

#include "reader/impl.h"
#include "record/path.h"
#include "store/row_json.h"

namespace ringlog::reader {

namespace {

// Key sets whose places are remembered; a program that logs other keys in every row starts over.
constexpr size_t kKeySetsMax = 256;

// Appends `text`, quoted when it has to be.
void append_csv(std::string& out, std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

// A name that tells the dots of a key from those between keys: a\.b is one key.
std::string exact_name(const std::string& path) {
  std::string out;
  for (const std::string& key : record::split_path(path)) {
    if (!out.empty()) out += '.';
    for (const char c : key) {
      if (c == '.') out += '\\';
      out += c;
    }
  }
  return out;
}

}  // namespace

CsvWriter::CsvWriter(std::vector<store::Metric> metrics, bool has_workers)
    : metrics_(std::move(metrics)), has_workers_(has_workers) {
  for (size_t i = 0; i < metrics_.size(); ++i) columns_[metrics_[i].path] = i;
}

Result<CsvWriter> CsvWriter::create(store::RunReader& reader,
                                    const std::vector<std::string>& metrics) {
  auto all = reader.metrics();
  if (!all) return all.take_error();
  std::erase_if(*all, [&](const store::Metric& metric) { return !is_wanted(metric, metrics); });
  auto producers = reader.producers();
  if (!producers) return producers.take_error();
  const bool has_workers =
      std::any_of(producers->begin(), producers->end(), [](const store::ProducerState& producer) {
        return producer.worker != 0 &&
               std::any_of(producer.rings.begin(), producer.rings.end(),
                           [](const store::RingState& ring) { return ring.stored > 0; });
      });
  return CsvWriter(*std::move(all), has_workers);
}

std::string CsvWriter::header() const {
  std::string out = has_workers_ ? "_rank,_attempt,_worker,_seq,_step,_timestamp"
                                 : "_rank,_attempt,_seq,_step,_timestamp";
  std::map<std::string, size_t> counts;
  for (const store::Metric& metric : metrics_) ++counts[metric.name];
  for (const store::Metric& metric : metrics_) {
    out += ',';
    // As in the JSON export, a metric does not take the name of a row's own field.
    if (store::is_row_field(metric.name)) out += '_';
    append_csv(out, counts[metric.name] > 1 ? exact_name(metric.path) : metric.name);
  }
  return out;
}

const std::vector<CsvWriter::Place>& CsvWriter::places_of(const store::RowView& row) {
  const auto known = key_sets_.find(row.keys().id);
  if (known != key_sets_.end()) return known->second;
  if (key_sets_.size() >= kKeySetsMax) key_sets_.clear();
  std::map<size_t, size_t> cells;  // by column; of a key used twice the last cell stays
  for (size_t i = 0; i < row.size(); ++i) {
    const auto column = columns_.find(row.column(i).path);
    if (column != columns_.end()) cells[column->second] = i;
  }
  std::vector<Place> places;
  places.reserve(cells.size());
  for (const auto& [column, cell] : cells) places.push_back({column, cell});
  return key_sets_.emplace(row.keys().id, std::move(places)).first->second;
}

Status CsvWriter::append_cell(const store::RowView& row, size_t cell, std::string& out) const {
  const store::Column& column = row.column(cell);
  if (column.type != store::ColumnType::kOther) {
    store::append_json_cell(out, column.type, row.bits(cell));
    return Done{};
  }
  auto value = row.value(cell);
  if (!value) return value.take_error().in("metric " + record::display_path(column.path));
  if (const std::string* text = value->text()) {
    append_csv(out, *text);
  } else if (!value->is_null()) {
    append_csv(out, store::to_json(*value));
  }
  return Done{};
}

Status CsvWriter::append(const store::RowView& row, std::string& out) {
  const std::vector<Place>& places = places_of(row);
  const store::ProducerState& producer = row.producer();
  store::append_json(out, int64_t{producer.rank});
  out += ',';
  store::append_json(out, int64_t{producer.attempt});
  out += ',';
  if (has_workers_) {
    store::append_json(out, uint64_t{producer.worker});
    out += ',';
  }
  store::append_json(out, row.public_seq());
  out += ',';
  store::append_json(out, row.step());
  out += ',';
  store::append_json_seconds(out, row.time_ns());
  size_t column = 0;
  for (const Place& place : places) {
    out.append(place.column + 1 - column, ',');
    column = place.column + 1;
    if (Status s = append_cell(row, place.cell, out); !s) return s;
  }
  out.append(metrics_.size() - column, ',');
  return Done{};
}

}  // namespace ringlog::reader
