// What a call to log() costs, with the real service draining and storing and every core busy.
//
//   --part calls     row.log and run.log, call by call, beside an ideal ring under the same load
//   --part words     should_stop and the live summary: words and text in shared memory
//   --part threads   row.log of four threads of one process
//   --part full      a producer that never pauses, under each policy for a full ring
//   --part syscalls  system calls in a million rows, counted by strace
//   --part all       all of these
//   --seconds N      per measurement
//   --folder PATH    where runs are stored
//   --shm PATH       where the service's runtime directory is made

#include "bench/calls.h"
#include "bench/common.h"
#include "bench/peers/ideal_ring.h"
#include "bench/service.h"
#include "client/row_clock.h"

#include <ringlog/ringlog.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <thread>
#include <vector>

namespace ringlog::bench {

namespace {

constexpr uint64_t kWarmRows = 20'000;
constexpr std::string_view kBegin = "ringlog-bench-begin";
constexpr std::string_view kEnd = "ringlog-bench-end";

Run open_run(const std::string& id, Settings settings = {}) {
  settings.project = "bench";
  settings.run_id = id;
  settings.strict = true;
  return init(std::move(settings));
}

Row open_row(Run& run) { return run.row({"loss", "accuracy", "lr", "grad_norm"}); }

// Runs `body` in a process of its own; what it found comes back through a file.
void in_child(const std::string& folder, Figures& figures,
              const std::function<void(Figures&)>& body) {
  const std::string path = folder + "/figures";
  Child child([&] {
    Figures found;
    body(found);
    found.save(path);
  });
  wait_for_all({&child}, 600);
  figures.load(path);
  std::filesystem::remove(path);
}

// Calls at an even pace after a warm-up that is not measured.
template <typename Call>
CallTimes measure_calls(double seconds, const Call& call) {
  CallTimes warm;
  CallTimes times;
  const uint64_t next = time_calls({.seconds = seconds / 4}, 0, warm, call);
  time_calls({.seconds = seconds}, next, times, call);
  return times;
}

// --- words -------------------------------------------------------------------------------------

// The mean of many calls in a row: one is shorter than the timer can tell.
template <typename Call>
void measure_tight(const char* name, double seconds, Figures& figures, const Call& call) {
  constexpr uint64_t kBurst = 1000;
  uint64_t calls = 0;
  const int64_t begin = now_ns();
  const int64_t end = begin + static_cast<int64_t>(seconds * 1e9);
  int64_t now = begin;
  for (; now < end; now = now_ns()) {
    for (uint64_t i = 0; i < kBurst; ++i) call(calls + i);
    calls += kBurst;
  }
  figures.set(name, static_cast<double>(now - begin) / static_cast<double>(calls));
}

void measure_words(double seconds, Figures& figures) {
  Run run = open_run("words");
  for (uint64_t i = 0; i < 10; ++i) {
    run.log({{"loss", 1.0}, {"accuracy", 0.5}, {"lr", 0.25}, {"grad_norm", 0.125}}, {.step = i});
  }
  static_cast<void>(run.flush(Durability::kStored).wait(std::chrono::seconds(10)));
  uint64_t seen = 0;
  measure_tight("should_stop.ns", seconds, figures, [&](uint64_t) { seen += run.should_stop(); });
  measure_tight("should_stop_step.ns", seconds, figures,
                [&](uint64_t step) { seen += run.should_stop(step); });
  if (seen != 0) fail("should_stop: nobody asked for it");
  auto live = LiveSummary::open(run.dir());
  if (!live) fail("live summary: " + live.error().message);
  uint64_t bytes = 0;
  measure_tight("summary_read.ns", seconds, figures, [&](uint64_t) {
    const auto text = live->json();
    if (text) bytes += text->size();
  });
  if (bytes == 0) fail("summary_read: nothing was read");
  run.finish(0);
}

// --- calls -------------------------------------------------------------------------------------

struct IdealRecord {
  std::array<uint64_t, 10> words;
};
static_assert(sizeof(IdealRecord) == 80);

void measure_ideal(double seconds, Figures& figures) {
  IdealRing ring(sizeof(IdealRecord));
  Child consumer([&] {
    IdealConsumer reader(ring);
    for (;;) {
      IdealRecord record{};
      std::memcpy(&record, reader.wait_next(), sizeof record);
      reader.release();
      uint64_t sum = 0;
      for (const uint64_t word : record.words) sum += word;
      if (sum == 0) return;  // the last one
    }
  });
  IdealProducer writer(ring);
  IdealRecord record{};
  const CallTimes times = measure_calls(seconds, [&](uint64_t i) {
    record.words[1] = i + 1;
    writer.write(reinterpret_cast<const std::byte*>(&record), sizeof record);
  });
  const IdealRecord last{};
  writer.write(reinterpret_cast<const std::byte*>(&last), sizeof last);
  wait_for_all({&consumer}, 60);
  add_call_figures("ideal_ring_80", times, figures);
}

void measure_row_log(double seconds, Figures& figures) {
  Run run = open_run("row-log-4");
  Row row = open_row(run);
  const CallTimes times = measure_calls(seconds, [&](uint64_t i) {
    const auto x = static_cast<double>(i);
    row.log(i, x, 0.5, 0.25, 0.125);
  });
  const FinishReport report = run.finish(0);
  if (report.stored != report.attempted) fail("row_log_4: rows were dropped");
  add_call_figures("row_log_4", times, figures);
}

template <typename Log>
void measure_run_log(const std::string& name, double seconds, Figures& figures, const Log& log) {
  Run run = open_run(name);
  const CallTimes times = measure_calls(seconds, [&](uint64_t i) { log(run, i); });
  const FinishReport report = run.finish(0);
  if (report.stored != report.attempted) fail(name + ": rows were dropped");
  add_call_figures(name, times, figures);
}

// What a row's timestamp costs: the part of a call that the ideal ring has no like of.
void measure_clock(Figures& figures) {
  constexpr int kCalls = 200'000;
  client::RowClock clock;
  int64_t sum = 0;
  const uint64_t start = first_tick();
  for (int i = 0; i < kCalls; ++i) sum += clock.now_ns();
  const uint64_t ticks = last_tick() - start;
  if (sum == 0) fail("row_clock: no time passes");
  figures.set("row_clock.ns", static_cast<double>(ticks) * ns_per_tick() / kCalls);
}

void measure_all_calls(const std::string& folder, double seconds, Figures& figures) {
  in_child(folder, figures, [&](Figures& found) { measure_ideal(seconds, found); });
  in_child(folder, figures, [&](Figures& found) { measure_row_log(seconds, found); });
  in_child(folder, figures, [&](Figures& found) {
    measure_run_log("run_log_1", seconds, found, [](Run& run, uint64_t i) {
      run.log({{"loss", 1.0}}, {.step = i});
    });
  });
  in_child(folder, figures, [&](Figures& found) {
    measure_run_log("run_log_4", seconds, found, [](Run& run, uint64_t i) {
      run.log({{"loss", 1.0}, {"accuracy", 0.5}, {"lr", 0.25}, {"grad_norm", 0.125}}, {.step = i});
    });
  });
  in_child(folder, figures, [&](Figures& found) {
    measure_run_log("run_log_16", seconds, found, [](Run& run, uint64_t i) {
      run.log({{"train/loss", 1.0},
               {"train/accuracy", 0.5},
               {"train/lr", 0.25},
               {"train/grad", 0.125},
               {"train/tokens", i},
               {"train/epoch", 3},
               {"eval/loss", 1.5},
               {"eval/accuracy", 0.75},
               {"eval/f1", 0.5},
               {"gpu/memory", 30.5},
               {"gpu/util", 99.0},
               {"gpu/power", 650.0},
               {"data/wait_ms", 0.25},
               {"data/shard", 17},
               {"time/forward", 0.1},
               {"time/backward", 0.2}},
              {.step = i});
    });
  });
  in_child(folder, figures, [&](Figures& found) { measure_clock(found); });
  const double clock_ns = figures.get("row_clock.ns");
  figures.set("row_log_4.p50_to_ideal_ratio",
              (figures.get("row_log_4.p50_ns") - clock_ns) / figures.get("ideal_ring_80.p50_ns"));
  figures.set("row_log_4.mean_to_ideal_ratio",
              (figures.get("row_log_4.mean_ns") - clock_ns) / figures.get("ideal_ring_80.mean_ns"));
}

// --- threads -----------------------------------------------------------------------------------

void measure_threads(double seconds, Figures& figures) {
  constexpr size_t kThreads = 4;
  Run run = open_run("threads-4");
  std::array<CallTimes, kThreads> times;
  {
    std::vector<std::jthread> threads;
    for (CallTimes& mine : times) {
      threads.emplace_back([&run, &mine, seconds] {
        Row row = open_row(run);
        CallTimes warm;
        const Pace pace{.calls_per_s = 250'000.0 / kThreads, .seconds = seconds};
        const auto log = [&row](uint64_t i) {
          row.log(i, static_cast<double>(i), 0.5, 0.25, 0.125);
        };
        const uint64_t next =
            time_calls({.calls_per_s = pace.calls_per_s, .seconds = seconds / 4}, 0, warm, log);
        time_calls(pace, next, mine, log);
      });
    }
  }
  const FinishReport report = run.finish(0);
  if (report.stored != report.attempted) fail("threads: rows were dropped");
  CallTimes all;
  for (const CallTimes& mine : times) {
    all.single.merge(mine.single);
    all.whole_ticks += mine.whole_ticks;
    all.whole_calls += mine.whole_calls;
  }
  figures.set("row_log_4.threads_4_ns", quantile_ns(all.single, 0.5));
  figures.set("row_log_4.threads_4_p999_ns", quantile_ns(all.single, 0.999));
}

// --- full ring ---------------------------------------------------------------------------------

// A producer that does nothing but log.
void measure_full(const std::string& name, FullRing policy, double seconds, Figures& figures) {
  Settings settings;
  settings.full_ring = policy;
  settings.full_ring_wait_ms = 10'000;
  Run run = open_run("full-" + name, settings);
  Row row = open_row(run);
  for (uint64_t i = 0; i < kWarmRows; ++i) row.log(i, 1, 2, 3, 4);
  Histogram calls;
  uint64_t slow_ticks = 0;
  // Longer than any call that did not have to wait or to wake somebody.
  const auto slow = static_cast<uint64_t>(20'000 / ns_per_tick());
  const int64_t start_ns = now_ns();
  const int64_t end_ns = start_ns + static_cast<int64_t>(seconds * 1e9);
  uint64_t i = kWarmRows;
  while (now_ns() < end_ns) {
    for (int n = 0; n < 200; ++n, ++i) {
      const uint64_t start = first_tick();
      row.log(i, static_cast<double>(i), 2, 3, 4);
      const uint64_t ticks = last_tick() - start;
      calls.add(ticks);
      if (ticks > slow) slow_ticks += ticks;
    }
  }
  const auto log_ns = static_cast<double>(now_ns() - start_ns);
  const FinishReport report = run.finish(0, std::chrono::minutes(2));
  const auto all_ns = static_cast<double>(now_ns() - start_ns);
  if (report.stored + report.dropped != report.attempted) fail("full ring: rows are missing");
  const std::string prefix = "full_ring." + name + ".";
  figures.set(prefix + "attempted_rows_per_s", static_cast<double>(i - kWarmRows) * 1e9 / log_ns);
  figures.set(prefix + "stored_rows_per_s", static_cast<double>(report.stored) * 1e9 / all_ns);
  figures.set(prefix + "dropped_percent",
              100.0 * static_cast<double>(report.dropped) / static_cast<double>(report.attempted));
  figures.set(prefix + "blocked_percent",
              100.0 * static_cast<double>(slow_ticks) * ns_per_tick() / log_ns);
  figures.set(prefix + "p50_ns", quantile_ns(calls, 0.5));
  figures.set(prefix + "p99_us", quantile_ns(calls, 0.99) / 1000);
  figures.set(prefix + "p999_us", quantile_ns(calls, 0.999) / 1000);
  figures.set(prefix + "max_ms", quantile_ns(calls, 1) / 1e6);
}

void measure_policies(const std::string& folder, double seconds, Figures& figures) {
  for (const auto& [name, policy] : {std::pair{"wait", FullRing::kWait},
                                     {"drop", FullRing::kDrop},
                                     {"coalesce", FullRing::kCoalesce}}) {
    in_child(folder, figures, [&, name = name, policy = policy](Figures& found) {
      measure_full(name, policy, seconds, found);
    });
  }
}

// --- system calls ------------------------------------------------------------------------------

// The traced process: two calls that cannot succeed mark where steady state begins and ends.
void log_between_marks(double seconds, Figures& figures) {
  Run run = open_run("syscalls");
  Row row = open_row(run);
  const auto log = [&row](uint64_t i) { row.log(i, static_cast<double>(i), 0.5, 0.25, 0.125); };
  CallTimes times;
  const uint64_t first = time_calls({.seconds = seconds / 4}, 0, times, log);
  if (::write(-1, kBegin.data(), kBegin.size()) >= 0) fail("a mark was written");
  const uint64_t next = time_calls({.seconds = seconds}, first, times, log);
  if (::write(-1, kEnd.data(), kEnd.size()) >= 0) fail("a mark was written");
  figures.set("rows", static_cast<double>(next - first));
  run.finish(0);
}

void count_syscalls(const std::string& folder, double seconds, Figures& figures) {
  if (!has_program("strace")) return figures.note("syscalls.missing", "strace is not installed");
  const std::string trace = folder + "/strace";
  const std::string found = folder + "/figures";
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  if (run_program({"strace", "-o", trace, self, "--part", "between-marks", "--seconds",
                   std::to_string(seconds), "--save", found}) != 0) {
    return figures.note("syscalls.missing", "strace may not trace here");
  }
  Figures traced;
  traced.load(found);
  std::ifstream file(trace);
  bool is_steady = false;
  bool was_steady = false;
  uint64_t calls = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.find(kEnd) != line.npos) is_steady = false;
    // Signals and unfinished lines are not calls.
    if (is_steady && line.find('(') != line.npos) ++calls;
    if (line.find(kBegin) != line.npos) is_steady = was_steady = true;
  }
  if (!was_steady || is_steady) fail("the trace does not hold both marks");
  figures.set("syscalls_per_million_rows", static_cast<double>(calls) * 1e6 / traced.get("rows"));
}

void run_parts(const Arguments& arguments, Figures& figures) {
  const std::string part = arguments.text("part", "all");
  const double seconds = arguments.seconds();
  if (part == "between-marks") {
    log_between_marks(seconds, figures);
    return figures.save(arguments.text("save"));
  }
  const Folders folders = folders_of(arguments);
  const TempFolder folder(folders.disk);
  const Place place(folders);
  const Service service(place);
  const auto is_wanted = [&](const char* name) { return part == "all" || part == name; };
  if (is_wanted("calls")) {
    const BusyMachine busy;
    measure_all_calls(folder.path(), seconds, figures);
  }
  if (is_wanted("words")) {
    in_child(folder.path(), figures, [&](Figures& found) { measure_words(seconds / 4, found); });
  }
  if (is_wanted("threads")) {
    const BusyMachine busy;
    in_child(folder.path(), figures, [&](Figures& found) { measure_threads(seconds, found); });
  }
  if (is_wanted("full")) measure_policies(folder.path(), seconds, figures);
  if (is_wanted("syscalls")) {
    const BusyMachine busy;
    count_syscalls(folder.path(), seconds, figures);
  }
}

}  // namespace

}  // namespace ringlog::bench

int main(int argc, char** argv) {
  return ringlog::bench::run_main(argc, argv, ringlog::bench::run_parts);
}
