// Run::row() as programs misuse it, one scenario per --case; each checks itself.

#include <ringlog/ringlog.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "options.h"

namespace {

using ringlog::FinishReport;
using ringlog::Row;
using ringlog::Run;

void expect(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "e2e_row_handles: %s\n", what.c_str());
  std::_Exit(1);
}

// Keys that cannot be logged: the rows are counted in the run they were meant for.
void refused_keys(Run& run) {
  Row twice = run.row({"loss", "loss"});
  Row good = run.row({"loss"});
  for (int i = 0; i < 10; ++i) {
    twice.log(i, 1.0, 2.0);
    good.log(i, 1.0);
  }
  expect(run.error().message.find("given twice") != std::string::npos, run.error().message);
  const FinishReport report = run.finish();
  expect(report.attempted == 20 && report.stored == 10 && report.dropped == 10, "the ledger");
}

// A program that asks for a handle at each step.
void the_same_keys(Run& run) {
  constexpr uint64_t kSteps = 70'000;
  for (uint64_t step = 0; step < kSteps; ++step) {
    run.row({"loss", "step_time"}).log(step, 0.5, static_cast<double>(step));
  }
  const FinishReport report = run.finish();
  expect(report.stored == kSteps && report.dropped == 0, "the ledger");
}

// More key sets than a row's record can name.
void other_keys(Run& run) {
  constexpr uint64_t kSteps = 61'000;
  for (uint64_t step = 0; step < kSteps; ++step) {
    // Of sixteen keys that come back, so that only the number of sets grows.
    std::vector<std::string> keys;
    for (uint64_t bit = 0; bit < 16; ++bit) {
      if ((step + 1) >> bit & 1) keys.push_back("k" + std::to_string(bit));
    }
    const std::vector<std::string_view> views(keys.begin(), keys.end());
    const std::vector<double> cells(keys.size(), static_cast<double>(step));
    run.row(views).log_cells(step, cells);
  }
  const FinishReport report = run.finish();
  expect(report.stored == kSteps && report.dropped == 0,
         std::to_string(report.stored) + " stored, " + std::to_string(report.dropped) + " dropped");
}

}  // namespace

int main(int argc, char** argv) {
  const e2e::Options options(argc, argv);
  const std::string name = options.text("case");
  Run run = ringlog::init();
  expect(run.ok(), run.error().message);
  if (name == "refused_keys") refused_keys(run);
  if (name == "the_same_keys") the_same_keys(run);
  if (name == "other_keys") other_keys(run);
  return 0;
}
