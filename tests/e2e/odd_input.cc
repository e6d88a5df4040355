// Logs what programs rarely log.  tests/e2e/odd_input_test.py has the same rows and reads them
// back.
//
// Standard output: one JSON line with the report, then the last error as text.

#include <ringlog/ringlog.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace {

using ringlog::Item;
using ringlog::Run;
using ringlog::Value;

void log_numbers(Run& run) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  run.log({{"nan", std::nan("")},
           {"inf", kInfinity},
           {"ninf", -kInfinity},
           {"nzero", -0.0},
           {"tiny", 5e-324},
           {"huge", std::numeric_limits<double>::max()},
           {"third", 1.0 / 3},
           {"whole", 5.0},
           {"single", 0.1F}});
  run.log({{"odd", int64_t{9007199254740993}},
           {"umax", std::numeric_limits<uint64_t>::max()},
           {"imin", std::numeric_limits<int64_t>::min()},
           {"imax", std::numeric_limits<int64_t>::max()},
           {"yes", true},
           {"no", false}});
}

void log_shapes(Run& run) {
  run.log({});
  const std::vector<double> no_numbers;
  const std::vector<int64_t> integers = {1, -2, std::numeric_limits<int64_t>::min()};
  const std::vector<double> floats = {3.5, -0.0, std::nan("")};
  const std::vector<Item> inner = {{"k", 1}};
  const std::vector<Value> mixed = {1, "two", nullptr, true, floats, inner};
  run.log({{"floats", {1.5, -0.0, std::nan("")}},
           {"integers", integers},
           {"mixed", mixed},
           {"empty_list", no_numbers},
           {"empty_object", std::vector<Item>{}},
           {"null", nullptr},
           {"empty_text", ""}});
  run.log({{"a", {{"b", {{"c", 1}, {"d", "x"}}}}}, {"a.b", 2}, {"a.b.c", 3.5}});
}

// As deep as allowed: 16 levels, the row itself included.
void log_deep(Run& run, int levels) {
  std::vector<std::vector<Item>> nest(static_cast<size_t>(levels));
  nest[0] = {{"leaf", 1}};
  for (size_t i = 1; i < nest.size(); ++i) nest[i] = {{"n", nest[i - 1]}};
  run.log(nest.back());
}

void log_large(Run& run) {
  constexpr size_t kKeys = 10'000;
  std::vector<std::string> names;
  for (size_t i = 0; i < kKeys; ++i) names.push_back("key" + std::to_string(i));
  std::vector<Item> items;
  for (size_t i = 0; i < kKeys; ++i) items.push_back({names[i], static_cast<double>(i) / 3});
  run.log(items);
  std::string text;
  while (text.size() < 10'000'000) text += "abc\xc3\xa9\n\"\\";
  run.log({{"long", text}});
}

void log_names(Run& run) {
  run.log({{"line\nbreak", 1},
           {"quo\"te", 2},
           {"back\\slash", 3},
           {"d.o.t", 4},
           {"unit\x1fseparator", 5},
           {"record\x1eseparator", 6},
           {"\xf0\x9f\xa6\x94", 7},
           {"tab\tand\x01\x7f", 8},
           {" ", 9},
           {"comma,semi;", 10},
           {std::string_view("nul\0inside", 10), 11},
           {"_rank", 12},
           {"_step", 13},
           {"\xe2\x80\xa8", 14}});
  run.log({{"unit\x1fseparator", {{"x\x1fy", 1}, {"x", {{"y", 2}}}}}});
  run.log({{"text", std::string_view("nul\0 \x1b[31m \xe2\x82\xac \x7f", 16)}});
}

void log_changes(Run& run) {
  run.log({{"m", 1.5}});
  run.log({{"m", 2}});
  run.log({{"m", true}});
  run.log({{"m", "text"}});
  run.log({{"m", {{"x", 1}}}});
  run.log({{"m", nullptr}});
  run.log({{"again", 1}, {"again", 2}, {"other", 0}, {"again", 3}});
  run.log({{"again", 1}, {"again", "last"}});
}

void log_steps(Run& run) {
  constexpr uint64_t kLast = std::numeric_limits<uint64_t>::max();
  run.log({{"s", 0}}, {.step = 100, .time_ns = 1724325791123456789});
  run.log({{"s", 1}});  // 101
  run.log({{"s", 2}}, {.step = 50});
  run.log({{"s", 3}}, {.step = 50, .time_ns = 1});
  run.log({{"s", 4}}, {.step = kLast, .time_ns = -1'500'000'000});
}

// Each of these is refused with its reason, and counted.
void log_refused(Run& run) {
  run.log({{"fine", 1}, {"bad\xff", 1}});
  std::printf("%s\n", run.error().message.c_str());
  run.log({{"bad", "\xc3("}});
  std::printf("%s\n", run.error().message.c_str());
  run.log({{"", 1}});
  std::printf("%s\n", run.error().message.c_str());
  log_deep(run, 17);
  std::printf("%s\n", run.error().message.c_str());
  run.log({{std::string(5000, 'k'), 1}});
  std::printf("%s\n", run.error().message.c_str());
  const std::string too_large(65 << 20, 'x');
  run.log({{"too_large", too_large}});
  std::printf("%s\n", run.error().message.c_str());
}

}  // namespace

int main() {
  Run run = ringlog::init();
  log_numbers(run);
  log_shapes(run);
  log_deep(run, 16);
  log_large(run);
  log_names(run);
  log_changes(run);
  log_steps(run);
  log_refused(run);
  run.config({{"lr", 0.1}, {"net", {{"width", 3}, {"act", "relu"}}}, {"d.o.t", 1}});
  run.config({{"net", {{"width", 4}}}, {"bad\xff", 1}});
  run.summary({{"best", 0.25}, {"note", "ok"}});
  const ringlog::FinishReport report = run.finish();
  std::printf("{\"attempted\":%zu,\"stored\":%zu,\"dropped\":%zu}\n", size_t{report.attempted},
              size_t{report.stored}, size_t{report.dropped});
  return 0;
}
