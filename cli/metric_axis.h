#pragma once
// Curves of one metric over another: what run.define_metric(…, step_metric) asks a plot to show.
//
// A row that has the metric and not its x axis is drawn at the value that the axis had last, as in
// W&B; rows before its first value are left out.  Steps that a newer attempt of a rank did again
// are those of the newer one.  One thread.

#include <ringlog/reader.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ringlog::cli {

// Rows next to each other on the axis; min, max and mean are over finite values, NaN: there is
// none.
struct AxisPoint {
  double x_first = 0;
  double x_last = 0;
  uint64_t rows = 0;
  double first = 0;
  double last = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
};

struct AxisCurve {
  int32_t rank = 0;
  std::vector<AxisPoint> points;  // rising x
};

struct AxisRequest {
  std::string metric;
  std::string x_metric;
  std::vector<int32_t> ranks{};  // empty: all
  uint64_t step_begin = 0;
  uint64_t step_last = UINT64_MAX;
  size_t max_points = 0;  // of a curve
};
// One for each rank that has both.  Memory: about 40 bytes a row.
//   kNotFound  no row has the metric, or none the x axis
Result<std::vector<AxisCurve>> read_curves(RunReader& run, const AxisRequest& request);

}  // namespace ringlog::cli
