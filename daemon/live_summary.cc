#include "daemon/live_summary.h"

#include "daemon/limits.h"
#include "daemon/log.h"
#include "record/message.h"
#include "record/path.h"
#include "store/row_json.h"
#include "store/tree_read.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "schema/record.capnp.h"

namespace ringlog::service {

namespace {

using store::ColumnType;
using store::Tree;

Tree tree_of_cell(ColumnType type, uint64_t bits) {
  switch (type) {
    case ColumnType::kInt64:
      return Tree(static_cast<int64_t>(bits));
    case ColumnType::kUint64:
      return Tree(bits);
    case ColumnType::kBool:
      return Tree(bits != 0);
    default:
      return Tree(std::bit_cast<double>(bits));
  }
}

// Of a column of float64 in the rows of a block, where all of them are finite; this is done for
// every row that anybody logs.  Four rows at a time, so that no addition waits for the one before.
std::optional<store::ColumnStatistics> finite_statistics(const store::RowBlock& block, size_t at) {
  constexpr size_t kLanes = 4;
  const size_t stride = block.number_count;
  const auto value = [&](size_t row) {
    return std::bit_cast<double>(block.cells[row * stride + at]);
  };
  const double first = value(0);
  std::array<double, kLanes> sum{};
  std::array<double, kLanes> low{first, first, first, first};
  std::array<double, kLanes> high = low;
  size_t row = 0;
  for (; row + kLanes <= block.rows(); row += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const double v = value(row + lane);
      sum[lane] += v;
      low[lane] = std::min(low[lane], v);
      high[lane] = std::max(high[lane], v);
    }
  }
  for (; row < block.rows(); ++row) {
    const double v = value(row);
    sum[0] += v;
    low[0] = std::min(low[0], v);
    high[0] = std::max(high[0], v);
  }
  const double all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  // A value that is not finite leaves a sum that is none; so does one that overflows.
  if (!std::isfinite(all)) return std::nullopt;
  store::ColumnStatistics out;
  out.first = first;
  out.last = value(block.rows() - 1);
  out.min = *std::min_element(low.begin(), low.end());
  out.max = *std::max_element(high.begin(), high.end());
  out.mean = all / static_cast<double>(block.rows());
  return out;
}

store::ColumnStatistics statistics(const store::RowBlock& block, size_t at, ColumnType type,
                                   std::vector<uint64_t>& scratch) {
  if (type == ColumnType::kFloat64) {
    if (const auto found = finite_statistics(block, at)) return *found;
  }
  scratch.clear();
  for (size_t row = 0; row < block.rows(); ++row) {
    scratch.push_back(block.cells[row * block.number_count + at]);
  }
  return store::statistics_of(type, scratch);
}

}  // namespace

void LiveSummary::start(std::string path, store::SummaryFacts facts) {
  path_ = std::move(path);
  facts_ = std::move(facts);
  entries_ = facts_.last.size();
  is_changed_ = true;
}

const std::vector<LiveSummary::Target>& LiveSummary::targets_of(const store::KeySet& keys) {
  const auto [at, is_new] = targets_.try_emplace(keys.id);
  if (!is_new) return at->second;
  for (const store::Column& column : keys.columns) {
    Target target;
    const bool is_known = facts_.last.contains(column.path);
    if (is_known || entries_ < kLiveMetricsMax) {
      target.last =
          &facts_.last.try_emplace(column.path, store::LastCell{INT32_MAX, {}, {}}).first->second;
      if (!is_known) ++entries_;
      if (column.type != ColumnType::kOther) {
        target.numbers = &facts_.numbers[column.path];
        target.numbers->is_integer &= column.type != ColumnType::kFloat64;
      }
    } else {
      ++left_out_;
    }
    at->second.push_back(target);
  }
  return at->second;
}

void LiveSummary::add(const store::RowBlock& block, const store::KeySet& keys,
                      const store::ProducerState& producer) {
  if (!is_on() || block.empty()) return;
  is_changed_ = true;
  facts_.rows += block.rows();
  const std::vector<Target>& targets = targets_of(keys);
  // A lane's times rise, but for those that a program gave itself.
  const auto [first, last] = std::minmax(block.time_ns.front(), block.time_ns.back());
  size_t number = 0;
  for (size_t i = 0; i < keys.columns.size(); ++i) {
    if (keys.columns[i].type == ColumnType::kOther) continue;
    const size_t at = number++;
    if (targets[i].numbers == nullptr) continue;
    targets[i].numbers->ranks[producer.rank].add(
        store::aggregate_of(statistics(block, at, keys.columns[i].type, column_), block.rows(),
                            producer.attempt, first, last));
  }
  take_last(block, keys, producer, targets, last);
}

void LiveSummary::take_last(const store::RowBlock& block, const store::KeySet& keys,
                            const store::ProducerState& producer,
                            const std::vector<Target>& targets, int64_t time_ns) {
  const std::pair at(producer.attempt, time_ns);
  const size_t row = block.rows() - 1;
  size_t number = 0;
  size_t other = 0;
  for (size_t i = 0; i < keys.columns.size(); ++i) {
    const ColumnType type = keys.columns[i].type;
    const size_t index = type == ColumnType::kOther ? other++ : number++;
    store::LastCell* const cell = targets[i].last;
    if (cell == nullptr || !cell->is_older(producer.rank, at)) continue;
    if (type == ColumnType::kOther) {
      auto value = store::tree_of_value(block.byte_cell(row, index));
      if (!value) continue;  // the handler checked it
      cell->value = std::move(*value);
    } else {
      cell->value = tree_of_cell(type, block.cells[row * block.number_count + index]);
    }
    cell->rank = producer.rank;
    cell->at = at;
  }
}

void LiveSummary::add(const store::RecordEntry& entry) {
  if (!is_on()) return;
  // The handler has read it whole before, so it does not throw.
  static_cast<void>(record::try_read([&] {
    record::MessageView message(std::as_bytes(std::span(entry.message)));
    const auto reader = message.root<schema::Record>();
    if (reader.isMetric()) {
      facts_.rules.define(reader.getMetric());
    } else if (reader.isSummary()) {
      Tree fields;
      store::read_tree(reader.getSummary(), fields);
      store::merge(facts_.explicit_values, fields);
    } else {
      return;
    }
    is_changed_ = true;
  }));
}

std::string LiveSummary::json() const {
  std::string out = "{\"rows\":" + std::to_string(facts_.rows) +
                    ",\"metrics_left_out\":" + std::to_string(left_out_) + ",\"summary\":";
  store::append_json(out, summary_of(facts_));
  out += ",\"ranks\":{";
  bool is_first = true;
  for (const auto& [path, numbers] : facts_.numbers) {
    const store::AcrossRanks across = numbers.across();
    if (across.ranks == 0) continue;
    out += std::exchange(is_first, false) ? "" : ",";
    store::append_json(out, record::display_path(path));
    out += ':';
    store::append_json(out, store::tree_of(across));
  }
  return out + "}}";
}

int64_t LiveSummary::due_ms() const {
  return is_on() && is_changed_ ? next_ms_ : std::numeric_limits<int64_t>::max();
}

void LiveSummary::publish_due(int64_t now_ms, int64_t time_ns) {
  if (due_ms() <= now_ms) publish_now(now_ms, time_ns);
}

void LiveSummary::publish_now(int64_t now_ms, int64_t time_ns) {
  if (!is_on() || !is_changed_) return;
  is_changed_ = false;
  const int64_t begin_ns = shm::monotonic_ns();
  Status published = Done{};
  if (page_ == nullptr) {
    auto page = shm::LivePageWriter::open(path_);
    if (page) {
      page_ = std::move(*page);
    } else {
      published = page.take_error();
    }
  }
  if (published) published = page_->publish(json(), time_ns);
  if (!published && !std::exchange(has_failed_, true)) {
    log().warn("the live summary: {}", published.error().message);
  }
  // A wide summary is written less often, so that it takes little of this thread.
  const int64_t took_ms = (shm::monotonic_ns() - begin_ns) / 1'000'000;
  next_ms_ = now_ms + std::max(kLiveIntervalMs, took_ms * kLiveRestFactor);
}

void LiveSummary::remove() {
  if (page_ != nullptr) page_->remove();
  page_.reset();
}

}  // namespace ringlog::service
