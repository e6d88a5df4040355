// Reads a run: examples/read RUN [METRIC].  What it logs and how it goes, rank by rank; while the
// run goes on, again and again with nothing but the new rows.

#include <ringlog/reader.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

namespace {

// Says what is wrong; true when nothing is.
template <typename T>
bool is_ok(const ringlog::Result<T>& result) {
  if (!result) std::fprintf(stderr, "read: %s\n", result.error().message.c_str());
  return static_cast<bool>(result);
}

bool print_metrics(ringlog::RunReader& run) {
  auto metrics = run.metrics();
  if (!is_ok(metrics)) return false;
  for (const ringlog::MetricDescription& metric : *metrics) {
    std::printf("%-24s %10zu rows of %zu ranks\n", metric.name.c_str(), size_t{metric.rows},
                metric.ranks.size());
  }
  return true;
}

bool print_series(ringlog::RunReader& run, const std::string& metric) {
  auto found = run.series({.metric = metric, .max_points = 20});
  if (!is_ok(found)) return false;
  for (const ringlog::Series& series : *found) {
    std::printf("rank %d of %s\n", series.rank, metric.c_str());
    for (size_t i = 0; i < series.size(); ++i) {
      std::printf("  steps %zu to %zu: %g (%g to %g)\n", size_t{series.step_first[i]},
                  size_t{series.step_last[i]}, series.mean[i], series.min[i], series.max[i]);
    }
  }
  return true;
}

// Counts rows as they come until the run has ended.
bool follow(ringlog::RunReader& run) {
  size_t rows = 0;
  ringlog::TableRequest request{.max_rows = 100'000};
  for (;;) {
    auto description = run.description();
    if (!is_ok(description)) return false;
    auto table = run.table(request);
    if (!is_ok(table)) return false;
    rows += table->size();
    request.after = table->end;
    if (table->size() > 0) {
      std::printf("%zu rows, the newest at step %zu\n", rows, size_t{table->step.back()});
    } else if (description->state != "running") {
      return true;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(250));
      if (!is_ok(run.refresh())) return false;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // who reads along sees each line when it comes
  auto run = ringlog::open(argc > 1 ? argv[1] : "latest");
  if (!is_ok(run) || !print_metrics(*run)) return 1;
  if (argc > 2 && !print_series(*run, argv[2])) return 1;
  return follow(*run) ? 0 : 1;
}
