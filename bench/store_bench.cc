// Storing: how fast, at what cost, and how soon again after a kill.
//
//   --part rates     8 producers of 4 doubles, then of 100, two cores in all, until everything is
//                    stored
//   --part recovery  the service killed with many rows stored and the rings full
//   --rows N         per producer of 4 doubles; of 100 a twenty-fifth of it; in all of `recovery`
//   --closes 1       part `rates` waits until the service has put the runs away, which takes three
//                    seconds and tells what it wrote to the disk for them
//   --folder PATH    where runs are stored
//   --shm PATH       where the service's runtime directory is made

#include "bench/common.h"
#include "bench/gate.h"
#include "bench/service.h"
#include "bench/training_values.h"
#include "record/row_template.h"

#include <ringlog/ringlog.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ringlog::bench {

namespace {

constexpr uint32_t kProducers = 8;
constexpr size_t kNarrow = 4;
constexpr size_t kWide = 100;

Run open_run(const std::string& id, uint32_t rank) {
  return init({.project = "bench",
               .run_id = id,
               .rank = static_cast<int32_t>(rank),
               .full_ring = FullRing::kWait,
               .full_ring_wait_ms = 60'000,
               .strict = true});
}

Row open_row(Run& run, size_t width) {
  const std::vector<std::string> names = training_names(width);
  const std::vector<std::string_view> keys(names.begin(), names.end());
  return run.row(keys);
}

// All rows were logged and all are stored.
void finish(Run& run, uint64_t rows) {
  const FinishReport report = run.finish(0, std::chrono::minutes(4));
  if (report.attempted != rows || report.stored != rows || report.dropped != 0) {
    fail(std::to_string(report.stored) + " of " + std::to_string(rows) + " rows are stored, " +
         std::to_string(report.dropped) + " dropped");
  }
}

// Processes that do the same, each as a rank.
class Producers {
 public:
  explicit Producers(const std::function<void(uint32_t rank)>& body) {
    for (uint32_t rank = 0; rank < kProducers; ++rank) {
      children_.push_back(std::make_unique<Child>([&, rank] { body(rank); }));
      all_.push_back(children_.back().get());
    }
  }
  void wait() const { wait_for_all(all_, 300); }

 private:
  std::vector<std::unique_ptr<Child>> children_;
  std::vector<Child*> all_;
};

// --- rates -------------------------------------------------------------------------------------

double ring_gb(uint64_t rows, size_t width) {
  return static_cast<double>(rows * kProducers) * record::row_record_bytes(width) / 1e9;
}

struct Rate {
  double took_s;
  double cpu_s;  // of the service
  std::map<std::string, uint64_t> cpu_ns_by_thread;
};

Rate store_rows(const Service& service, const std::string& id, size_t width, uint64_t rows) {
  const TrainingValues values(width);
  Gate start;
  const Shared<std::atomic<uint32_t>> ready;
  const Producers producers([&](uint32_t rank) {
    ready->fetch_add(1);
    start.wait();
    Run run = open_run(id, rank);
    Row row = open_row(run, width);
    for (uint64_t i = 0; i < rows; ++i) row.log_cells(i, values.row(i));
    finish(run, rows);
  });
  wait_for_count(*ready, kProducers, 60);
  const auto before = cpu_ns_by_thread(service.pid());
  const int64_t start_ns = now_ns();
  start.open();
  producers.wait();
  Rate rate{static_cast<double>(now_ns() - start_ns) / 1e9, 0, cpu_ns_by_thread(service.pid())};
  for (auto& [thread, ns] : rate.cpu_ns_by_thread) {
    const auto found = before.find(thread);
    if (found != before.end()) ns -= found->second;
    rate.cpu_s += static_cast<double>(ns) / 1e9;
  }
  return rate;
}

void add_narrow_figures(const Rate& rate, uint64_t rows, const std::string& dir, Figures& figures) {
  const auto total = static_cast<double>(rows * kProducers);
  figures.set("store_8x4.rows_per_s", total / rate.took_s);
  figures.set("store_8x4.cpu_s_per_gb", rate.cpu_s / ring_gb(rows, kNarrow));
  figures.set("store_8x4.bytes_per_row", static_cast<double>(disk_bytes(dir)) / total);
  figures.set("service.cpu_ns_per_row", rate.cpu_s * 1e9 / total);
  for (const std::string name : {"drain", "store"}) {
    const auto ns = static_cast<double>(rate.cpu_ns_by_thread.at(name));
    figures.set(name + ".ns_per_row", ns / total);
  }
}

void measure_rates(const Arguments& arguments, uint64_t rows, Figures& figures) {
  const auto cpus = two_cpus();
  pin_to({cpus[0], cpus[1]});
  const Place place(folders_of(arguments));
  const Service service(place);
  const uint64_t wide_rows = rows * kNarrow / kWide;
  const Rate narrow = store_rows(service, "narrow", kNarrow, rows);
  add_narrow_figures(narrow, rows, place.root() + "/bench/narrow", figures);
  const Rate wide = store_rows(service, "wide", kWide, wide_rows);
  const auto values = static_cast<double>(wide_rows * kProducers * kWide);
  figures.set("store_8x100.values_per_s", values / wide.took_s);
  figures.set("store_8x100.cpu_s_per_gb", wide.cpu_s / ring_gb(wide_rows, kWide));
  if (arguments.number("closes", 0) == 0) return;
  wait_until_closed(service.pid(), place.root());
  const double gb = ring_gb(rows, kNarrow) + ring_gb(wide_rows, kWide);
  figures.set("store.cpu_s_per_gb", static_cast<double>(cpu_ns_of(service.pid())) / 1e9 / gb);
  const auto kept = static_cast<double>(disk_bytes(place.root() + "/bench"));
  const auto written = static_cast<double>(disk_bytes_written(service.pid()));
  if (written == 0) {
    figures.note("store.write_amplification.missing", "runs are stored in memory");
  } else {
    figures.set("store.write_amplification", written / kept);
  }
}

// --- recovery ----------------------------------------------------------------------------------

// The first ring of a process less room for the request that asks whether all is stored.
uint64_t rows_of_a_ring() {
  return (shm::kFirstRingBytes - 4096) / record::row_record_bytes(kNarrow);
}

void wait_until_stored(Run& run, uint64_t rows) {
  const int64_t end_ns = now_ns() + 120'000'000'000;
  while (now_ns() < end_ns) {
    // The service that takes a request may be killed before it answers; then it is asked again.
    const auto positions = run.flush(Durability::kStored).wait(std::chrono::seconds(10));
    if (positions && positions->stored >= rows) return;
    pause_for(0.001);
  }
  fail("recovery: not all rows are stored in time");
}

struct RecoveryWords {
  std::atomic<uint32_t> is_stored;     // producers whose rows are, before the kill…
  std::atomic<uint32_t> is_full;       // …whose rings are full…
  std::atomic<uint32_t> is_recovered;  // …and whose rings are stored too, after it
};

void measure_recovery(const Arguments& arguments, uint64_t rows, Figures& figures) {
  const Place place(folders_of(arguments));
  auto service = std::make_unique<Service>(place);
  const TrainingValues values(kNarrow);
  const Shared<RecoveryWords> words;
  Gate stopped;
  Gate restarted;
  const uint64_t before = rows / kProducers;
  const Producers producers([&](uint32_t rank) {
    Run run = open_run("recovery", rank);
    Row row = open_row(run, kNarrow);
    uint64_t i = 0;
    while (i < before) row.log_cells(i, values.row(i)), ++i;
    wait_until_stored(run, before);
    words->is_stored.fetch_add(1);
    stopped.wait();
    for (const uint64_t end = before + rows_of_a_ring(); i < end; ++i) {
      row.log_cells(i, values.row(i));
    }
    words->is_full.fetch_add(1);
    restarted.wait();
    wait_until_stored(run, i);
    words->is_recovered.fetch_add(1);
    finish(run, i);
  });
  wait_for_count(words->is_stored, kProducers, 120);
  ::kill(service->pid(), SIGSTOP);  // so that the rings fill
  stopped.open();
  wait_for_count(words->is_full, kProducers, 60);
  service->kill();
  const int64_t start_ns = now_ns();
  service = std::make_unique<Service>(place);
  const double ready_ms = static_cast<double>(now_ns() - start_ns) / 1e6;
  restarted.open();
  wait_for_count(words->is_recovered, kProducers, 120);
  const double all_ms = static_cast<double>(now_ns() - start_ns) / 1e6;
  const std::string name = "recovery_" + count_name(before * kProducers) + "_rows";
  figures.set(name + "_ms", all_ms);
  figures.set(name + ".ready_ms", ready_ms);
  figures.set(name + ".in_rings", static_cast<double>(rows_of_a_ring() * kProducers));
  producers.wait();
}

void run_parts(const Arguments& arguments, Figures& figures) {
  const std::string part = arguments.text("part", "rates");
  const auto rows = static_cast<uint64_t>(arguments.number("rows", 20'000));
  if (part == "rates") return measure_rates(arguments, rows, figures);
  if (part == "recovery") return measure_recovery(arguments, rows, figures);
  fail("there is no part " + part);
}

}  // namespace

}  // namespace ringlog::bench

int main(int argc, char** argv) {
  return ringlog::bench::run_main(argc, argv, ringlog::bench::run_parts);
}
