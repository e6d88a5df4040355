// Reading, through the public reader and nothing else.
//
//   --part points  1,000 points of one metric, over the whole run of make_run, a tenth of it and a
//                  thousandth, at its beginning, in its middle and at its end
//   --part scan    a table of all metrics
//   --part open    from nothing to what `ringlog show` wants
//   --run PATH     the run's folder
//   --seconds N    per range

#include "bench/common.h"

#include <ringlog/reader.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace ringlog::bench {

namespace {

constexpr size_t kPoints = 1000;
constexpr int kTriesMin = 3;
constexpr int kTriesMax = 50;
constexpr size_t kScanRows = 50'000;  // of one table: 41 MB of 100 metrics
constexpr double kSpikeAt = 3.0 / 8;

template <typename T>
T get(Result<T> result) {
  if (!result) fail(result.error().message);
  return *std::move(result);
}

RunReader open_run(const Arguments& arguments) {
  return get(open(arguments.text("run"), {.asks_service = false}));
}

double ms_since(int64_t start_ns) { return static_cast<double>(now_ns() - start_ns) / 1e6; }

double median(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

std::vector<std::string> number_names(RunReader& run) {
  std::vector<std::string> names;
  for (const MetricDescription& metric : get(run.metrics())) names.push_back(metric.path);
  return names;
}

// --- points ------------------------------------------------------------------------------------

struct Range {
  std::string name;
  uint64_t begin;
  uint64_t last;  // inclusive
};

std::vector<Range> ranges_of(uint64_t rows) {
  std::vector<Range> ranges = {{"whole", 0, rows - 1}};
  for (const auto& [name, part] : {std::pair("tenth", 10), std::pair("thousandth", 1000)}) {
    const uint64_t size = std::max<uint64_t>(rows / static_cast<uint64_t>(part), 1);
    ranges.push_back({std::string(name) + ".start", 0, size - 1});
    ranges.push_back({std::string(name) + ".middle", (rows - size) / 2, (rows + size) / 2 - 1});
    ranges.push_back({std::string(name) + ".end", rows - size, rows - 1});
  }
  return ranges;
}

// A figure of a line that is not the run's would mean nothing.
void check_line(const std::vector<Series>& found, const Range& range, uint64_t rows, bool is_loss) {
  if (found.size() != 1) fail("a run of one rank has one line");
  const Series& line = found.front();
  const uint64_t covered = std::accumulate(line.rows.begin(), line.rows.end(), uint64_t{0});
  if (covered != range.last - range.begin + 1) {
    fail(range.name + ": the points stand for " + std::to_string(covered) + " rows");
  }
  if (line.size() > 2 * kPoints) fail(range.name + ": more points than asked for");
  const auto spike = static_cast<uint64_t>(static_cast<double>(rows) * kSpikeAt);
  const bool has_spike = *std::max_element(line.max.begin(), line.max.end()) > 1e5;
  if (has_spike != (is_loss && spike >= range.begin && spike <= range.last)) {
    fail(range.name + ": the spike is not where it was logged");
  }
}

// Each try asks for another metric, so that none is read from what the one before left in memory.
double measure_range(RunReader& run, const Range& range, uint64_t rows, double seconds) {
  const std::vector<std::string> names = number_names(run);
  std::vector<double> times;
  const int64_t end_ns = now_ns() + static_cast<int64_t>(seconds * 1e9);
  for (int i = 0; i < kTriesMax && (i < kTriesMin || now_ns() < end_ns); ++i) {
    const std::string metric = i == 0 ? "loss" : names[static_cast<size_t>(i) * 37 % names.size()];
    const SeriesRequest request{.metric = metric,
                                .step_begin = range.begin,
                                .step_last = range.last,
                                .max_points = kPoints};
    const int64_t start_ns = now_ns();
    const std::vector<Series> found = get(run.series(request));
    times.push_back(ms_since(start_ns));
    check_line(found, range, rows, metric == "loss");
  }
  return median(times);
}

void measure_points(const Arguments& arguments, Figures& figures) {
  const int64_t start_ns = now_ns();
  RunReader run = open_run(arguments);
  get(run.series({.metric = "loss", .max_points = kPoints}));
  const double first_ms = ms_since(start_ns);
  const uint64_t rows = get(run.row_count());
  const std::string name = "1000_points_of_" + count_name(rows) + "_ms";
  figures.set("read.first_" + name, first_ms);
  double worst = 0;
  for (const Range& range : ranges_of(rows)) {
    const double ms = measure_range(run, range, rows, arguments.seconds());
    figures.set("read." + range.name + "." + name, ms);
    worst = std::max(worst, ms);
  }
  figures.set("read." + name, worst);
}

// --- scan and open -----------------------------------------------------------------------------

void measure_scan(const Arguments& arguments, Figures& figures) {
  RunReader run = open_run(arguments);
  TableRequest request{.max_rows = kScanRows};
  const int64_t start_ns = now_ns();
  const int64_t end_ns = start_ns + static_cast<int64_t>(arguments.seconds() * 1e9);
  double bytes = 0;
  double sum = 0;
  do {
    const Table table = get(run.table(request));
    if (table.size() == 0) break;
    // seq, step and time are columns as well.
    bytes += static_cast<double>(table.size() * (table.columns.size() + 3) * sizeof(double));
    for (const TableColumn& column : table.columns) {
      sum = std::accumulate(column.float64.begin(), column.float64.end(), sum);
    }
    request.after = table.end;
  } while (now_ns() < end_ns);
  if (!(sum > 0)) fail("scan: the table's sum is not positive");
  figures.set("read.scan_mb_per_s", bytes / 1e6 / (ms_since(start_ns) / 1e3));
}

void measure_open(const Arguments& arguments, Figures& figures) {
  std::vector<double> times;
  uint64_t rows = 0;
  const int64_t end_ns = now_ns() + static_cast<int64_t>(arguments.seconds() * 1e9);
  for (int i = 0; i < kTriesMax && (i < kTriesMin || now_ns() < end_ns); ++i) {
    const int64_t start_ns = now_ns();
    RunReader run = open_run(arguments);
    rows = get(run.row_count());
    if (rows == 0 || get(run.processes()).empty() || get(run.metrics()).empty()) {
      fail("open: the run is empty");
    }
    times.push_back(ms_since(start_ns));
  }
  figures.set("open_" + count_name(rows) + "_rows_ms", median(times));
}

void run_parts(const Arguments& arguments, Figures& figures) {
  const std::string part = arguments.text("part", "points");
  if (part == "points") return measure_points(arguments, figures);
  if (part == "scan") return measure_scan(arguments, figures);
  if (part == "open") return measure_open(arguments, figures);
  fail("there is no part " + part);
}

}  // namespace

}  // namespace ringlog::bench

int main(int argc, char** argv) {
  return ringlog::bench::run_main(argc, argv, ringlog::bench::run_parts);
}
