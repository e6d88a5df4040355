#include "formats/step_merge.h"

#include <algorithm>
#include <utility>

#include "record/path.h"
#include "store/row_json.h"

namespace ringlog::formats {

namespace {

// Steps of the first window.
constexpr uint64_t kWindowSteps = 1024;
// Shapes that are remembered; a program that logs other keys in every row starts over.
constexpr size_t kShapesMax = 1024;

}  // namespace

std::string series_label(const store::ProducerState& producer, bool has_ranks) {
  std::string label;
  if (has_ranks) label = "rank" + std::to_string(producer.rank) + "/";
  if (producer.worker != 0) label += "worker" + std::to_string(producer.worker) + "/";
  return label;
}

void StepRows::find_rivals(size_t column, const std::string& label) {
  const std::vector<std::string>& keys = columns_[column].keys;
  std::vector<size_t> rivals;
  std::string path;
  for (size_t depth = 0; depth < keys.size(); ++depth) {
    record::append_key(path, keys[depth]);
    const std::string name = label + '\0' + path;
    if (depth + 1 == keys.size()) {
      const auto inside = inside_.find(name);
      if (inside != inside_.end())
        rivals.insert(rivals.end(), inside->second.begin(), inside->second.end());
    } else {
      inside_[name].push_back(column);
      const auto value = column_ids_.find(name);
      if (value != column_ids_.end()) rivals.push_back(value->second);
    }
  }
  rivals_.emplace_back();
  for (const size_t rival : rivals) {
    rivals_[column].push_back(rival);
    rivals_[rival].push_back(column);
  }
}

size_t StepRows::column_of(const std::string& label, const std::string& path) {
  const auto [it, is_new] = column_ids_.try_emplace(label + '\0' + path, columns_.size());
  if (is_new) {
    columns_.push_back({label, record::split_path(path)});
    find_rivals(it->second, label);
  }
  return it->second;
}

const StepRows::Shape& StepRows::shape_of(const store::RowView& row) {
  const std::pair id(row.producer().producer, row.keys().id);
  const auto known = shapes_.find(id);
  if (known != shapes_.end()) return known->second;
  if (shapes_.size() >= kShapesMax) shapes_.clear();
  const std::string label = series_label(row.producer(), has_ranks_);
  Shape shape;
  for (size_t i = 0; i < row.size(); ++i)
    shape.columns.push_back(column_of(label, row.column(i).path));
  return shapes_.emplace(id, std::move(shape)).first->second;
}

Status StepRows::add(const store::RowView& row) {
  if (row.size() == 0) return Done{};
  const auto [at, is_first] = rows_.try_emplace(row.step());
  MergedRow& merged = at->second;
  merged.step = row.step();
  merged.time_ns = is_first ? row.time_ns() : std::max(merged.time_ns, row.time_ns());
  const Shape& shape = shape_of(row);
  for (size_t i = 0; i < row.size(); ++i) {
    const auto [cell, is_new] = merged.cells.try_emplace(shape.columns[i]);
    cells_ += is_new ? 1 : 0;
    for (const size_t rival : rivals_[shape.columns[i]]) cells_ -= merged.cells.erase(rival);
    cell->second.clear();
    const store::Column& column = row.column(i);
    if (column.type != store::ColumnType::kOther) {
      store::append_json_cell(cell->second, column.type, row.bits(i));
      continue;
    }
    Result<store::Tree> value = row.value(i);
    if (!value) return value.take_error().in("metric " + record::display_path(column.path));
    store::append_json(cell->second, *value);
  }
  return Done{};
}

void StepRows::clear() {
  rows_.clear();
  cells_ = 0;
}

Result<bool> StepMerge::read_window(uint64_t begin, uint64_t last) {
  window_.clear();
  read_ = 0;
  filter_.step_begin = begin;
  filter_.step_last = last;
  Status added = Done{};
  bool fits = true;
  Result<uint64_t> visited = reader_.for_each_row(filter_, [&](const store::RowView& row) {
    added = window_.add(row);
    ++read_;
    fits = window_.cells() <= kMergedCellsMax || begin == last;
    return added && fits;
  });
  if (!added) return added.take_error();
  if (!visited) return visited.take_error();
  return fits;
}

Result<uint64_t> StepMerge::run(uint64_t step_last, const Visitor& visitor) {
  uint64_t rows = 0;
  uint64_t width = kWindowSteps;
  for (uint64_t begin = 0;;) {
    const uint64_t last = step_last - begin < width ? step_last : begin + (width - 1);
    Result<bool> fits = read_window(begin, last);
    if (!fits) return fits.take_error();
    if (!*fits) {
      width = std::max<uint64_t>(1, std::min(width, last - begin + 1) / 4);
      continue;
    }
    rows += read_;
    for (const auto& [step, row] : window_.rows()) {
      if (!visitor(row)) return rows;
    }
    if (last == step_last) return rows;
    begin = last + 1;
    // Rare steps are looked for in ever larger windows.
    if (window_.cells() < kMergedCellsMax / 4 && width <= (uint64_t{1} << 62)) width *= 2;
  }
}

}  // namespace ringlog::formats
