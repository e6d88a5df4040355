#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "store/column.h"

namespace ringlog::store {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

struct Fold {
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();
  double sum = 0;
  uint32_t count = 0;
};

// Requires that all values are finite.  Four independent lanes, because one chain of additions
// costs the adder's latency for each cell.
template <typename Convert>
Fold fold_all(std::span<const uint64_t> cells, Convert convert) {
  constexpr size_t kLanes = 4;
  std::array<Fold, kLanes> lanes;
  const auto add = [](Fold& fold, double value) {
    fold.min = value < fold.min ? value : fold.min;
    fold.max = value > fold.max ? value : fold.max;
    fold.sum += value;
  };
  size_t i = 0;
  for (; i + kLanes <= cells.size(); i += kLanes) {
    for (size_t k = 0; k < kLanes; ++k) add(lanes[k], convert(cells[i + k]));
  }
  for (; i < cells.size(); ++i) add(lanes[0], convert(cells[i]));
  Fold all = lanes[0];
  for (size_t k = 1; k < kLanes; ++k) {
    all.min = std::min(all.min, lanes[k].min);
    all.max = std::max(all.max, lanes[k].max);
    all.sum += lanes[k].sum;
  }
  all.count = static_cast<uint32_t>(cells.size());
  return all;
}

constexpr uint64_t kExponent = 0x7ff0'0000'0000'0000;

bool is_finite(uint64_t bits) { return (bits & kExponent) != kExponent; }

// Copies the finite cells: the rare case pays for the copy, the usual one has no branch per cell.
std::vector<uint64_t> finite_cells(std::span<const uint64_t> cells) {
  std::vector<uint64_t> finite;
  for (const uint64_t bits : cells) {
    if (is_finite(bits)) finite.push_back(bits);
  }
  return finite;
}

Fold fold_floats(std::span<const uint64_t> cells) {
  const auto convert = [](uint64_t bits) { return std::bit_cast<double>(bits); };
  uint64_t non_finite = 0;
  for (const uint64_t bits : cells) non_finite |= static_cast<uint64_t>(!is_finite(bits));
  return non_finite == 0 ? fold_all(cells, convert) : fold_all(finite_cells(cells), convert);
}

Fold fold(ColumnType type, std::span<const uint64_t> cells) {
  if (type == ColumnType::kFloat64) return fold_floats(cells);
  if (type == ColumnType::kInt64) {
    return fold_all(cells,
                    [](uint64_t bits) { return static_cast<double>(static_cast<int64_t>(bits)); });
  }
  return fold_all(cells, [](uint64_t bits) { return static_cast<double>(bits); });
}

}  // namespace

double cell_as_double(ColumnType type, uint64_t bits) {
  switch (type) {
    case ColumnType::kFloat64:
      return std::bit_cast<double>(bits);
    case ColumnType::kInt64:
      return static_cast<double>(static_cast<int64_t>(bits));
    default:
      return static_cast<double>(bits);
  }
}

ColumnStatistics statistics_of(ColumnType type, std::span<const uint64_t> cells) {
  const Fold all = fold(type, cells);
  ColumnStatistics out;
  out.non_finite = static_cast<uint32_t>(cells.size()) - all.count;
  out.first = cell_as_double(type, cells.front());
  out.last = cell_as_double(type, cells.back());
  out.min = all.count == 0 ? kNone : all.min;
  out.max = all.count == 0 ? kNone : all.max;
  // A sum that overflowed says nothing; half of the extremes is then as good as any mean.
  const double mean = all.count == 0 ? kNone : all.sum / all.count;
  out.mean = std::isinf(mean) ? all.min / 2 + all.max / 2 : mean;
  return out;
}

ColumnStatistics constant_statistics(ColumnType type, uint64_t bits, uint32_t rows) {
  const double value = cell_as_double(type, bits);
  const bool finite = std::isfinite(value);
  const double over_finite = finite ? value : kNone;
  return {finite ? 0 : rows, value, value, over_finite, over_finite, over_finite};
}

}  // namespace ringlog::store
