// Uses every call that leaves a record: what the exports to other tools have to carry.
//
//   e2e_everything [--rows N] [--code N]
//
// Each rank logs N rows and ends with the exit code.

#include <ringlog/ringlog.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <limits>

#include "options.h"

namespace {

void describe(ringlog::Run& run) {
  run.config({{"lr", 0.1}, {"net", {{"width", 3}, {"act", "relu"}}}, {"d.o.t", 1}});
  run.config({{"net", {{"width", 4}}}, {"seeds", {1.0, 2.0}}});
  run.define_metric("val/acc", {.summary = {"max", "last"}});
  run.define_metric("val/*", {.step_metric = "epoch"});
  run.define_metric("debug", {.summary = {"none"}, .hidden = true});
  run.console("to standard output, caf\xc3", false);
  run.console("\xa9\n", false);
  run.console("to standard error \xff\n", true);
  run.alert("title", "text", ringlog::AlertLevel::kWarn);
}

void log_rows(ringlog::Run& run, uint64_t rows) {
  const double rank = run.rank();
  for (uint64_t i = 0; i < rows; ++i) {
    const auto x = static_cast<double>(i);
    run.log({{"loss", 1 / (x + 1) + rank}, {"count", i}, {"even", i % 2 == 0}});
    if (i % 10 != 0) continue;
    run.log({{"val/acc", x / 100},
             {"epoch", i / 10},
             {"debug", -x},
             {"sample", "once upon"},
             {"nested", {{"a", x}, {"b", {{"c", "deep"}}}}}},
            {.step = i});
  }
  run.log({{"odd", std::nan("")},
           {"big", std::numeric_limits<double>::max()},
           {"list", {1.5, 2.5}},
           {"sample", "the end \xf0\x9f\xa6\x94"},
           {"mixed", 1}});
  run.log({{"odd", -std::numeric_limits<double>::infinity()}, {"mixed", "now text"}});
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const e2e::Options options(argc, argv);
    ringlog::Run run = ringlog::init();
    describe(run);
    log_rows(run, static_cast<uint64_t>(options.number("rows", 50)));
    run.summary({{"best", 0.25}, {"loss", "overridden"}});
    const auto code = static_cast<int>(options.number("code", 0));
    run.finish(code);
    return code;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "e2e_everything: %s\n", e.what());
    return 100;
  }
}
