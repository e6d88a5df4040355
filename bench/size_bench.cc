// Bytes on disk for a row of training: ringlog's store beside files that people use now.
//
//   --steps N      of the training example, by --ranks processes
//   --ranks N      4
//   --folder PATH  where everything is written
//   --shm PATH     where the service's runtime directory is made
//
// Trains with the real example, reads its loss, gradient norm, learning rate and step time back,
// rounds them to float32 and logs them again as a run of those four alone, with the steps and times
// they had.  That run is measured when its service has put it away, then exported; SQLite gets the
// same rows in one table.

#include "bench/common.h"
#include "bench/service.h"

#include <ringlog/reader.h>
#include <ringlog/ringlog.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#ifdef RINGLOG_BENCH_SQLITE
#include <sqlite3.h>
#endif

namespace ringlog::bench {

namespace {

namespace fs = std::filesystem;

constexpr std::array kMetrics = {"loss", "grad_norm", "lr", "step_ms"};

template <typename T>
T get(Result<T> result) {
  if (!result) fail(result.error().message);
  return *std::move(result);
}

std::string program(const std::string& path) {
  return fs::read_symlink("/proc/self/exe").parent_path().parent_path() / path;
}

void run_checked(const std::vector<std::string>& words) {
  if (const int status = run_program(words); status != 0) {
    fail(words.front() + " failed (" + std::to_string(status) + ")");
  }
}

struct TrainingRow {
  int32_t rank;
  uint64_t step;
  int64_t time_ns;
  std::array<double, kMetrics.size()> values;
};

// Trains, and what the example logged into `dir`.
std::vector<TrainingRow> train(const Arguments& arguments, const Place& place, std::string& dir) {
  const auto ranks = static_cast<int>(arguments.number("ranks", 4));
  const auto steps = static_cast<int>(arguments.number("steps", 20));
  run_checked({program("examples/train"), "--project", "example", "--kill-rank", "none", "--ranks",
               std::to_string(ranks), "--steps", std::to_string(steps)});
  RunReader run = get(open("latest", {.root = place.root()}));
  const Table table =
      get(run.table({.metrics = std::vector<std::string>(kMetrics.begin(), kMetrics.end())}));
  std::vector<TrainingRow> rows(table.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i] = {table.rank[i], table.step[i], table.time_ns[i], {}};
    for (size_t k = 0; k < kMetrics.size(); ++k) {
      rows[i].values[k] = static_cast<float>(table.find(kMetrics[k])->float64[i]);
    }
  }
  if (rows.size() != static_cast<size_t>(ranks) * static_cast<size_t>(steps)) {
    fail("the example logged " + std::to_string(rows.size()) + " rows");
  }
  dir = get(run.description()).dir;
  return rows;
}

// How often a service commits a run that is logged to slowly.
constexpr int64_t kCommitNs = 50'000'000;

// One rank's rows, as its process logged them; what came within 50 ms is committed together, as the
// service did then.
void log_rank(const std::vector<TrainingRow>& rows, int32_t rank) {
  Run run = init({.project = "bench",
                  .run_id = "float32",
                  .rank = rank,
                  .full_ring_wait_ms = 60'000,
                  .strict = true});
  int64_t commit_ns = 0;
  for (const TrainingRow& row : rows) {
    if (row.rank != rank) continue;
    run.log({{kMetrics[0], row.values[0]},
             {kMetrics[1], row.values[1]},
             {kMetrics[2], row.values[2]},
             {kMetrics[3], row.values[3]}},
            {.step = row.step, .time_ns = row.time_ns});
    if (row.time_ns < commit_ns) continue;
    commit_ns = row.time_ns + kCommitNs;
    if (!run.flush(Durability::kStored).wait(std::chrono::seconds(30))) fail("flush: no answer");
  }
  const FinishReport report = run.finish(0, std::chrono::minutes(2));
  if (report.stored != report.attempted) fail("rows were dropped");
}

void log_again(const std::vector<TrainingRow>& rows, const Place& place) {
  std::vector<std::unique_ptr<Child>> children;
  std::vector<Child*> all;
  for (int32_t rank = 0; rank <= rows.back().rank; ++rank) {
    children.push_back(std::make_unique<Child>([&, rank] { log_rank(rows, rank); }));
    all.push_back(children.back().get());
  }
  wait_for_all(all, 120);
  wait_until_closed(place.find_service(), place.root());
}

#ifdef RINGLOG_BENCH_SQLITE
void check(int status, sqlite3* db) {
  if (status != SQLITE_OK && status != SQLITE_DONE)
    fail(std::string("sqlite: ") + sqlite3_errmsg(db));
}

void write_sqlite(const std::string& path, const std::vector<TrainingRow>& rows) {
  sqlite3* db = nullptr;
  check(sqlite3_open(path.c_str(), &db), db);
  const auto run = [&](const char* sql) {
    check(sqlite3_exec(db, sql, nullptr, nullptr, nullptr), db);
  };
  run("CREATE TABLE rows (rank INTEGER, step INTEGER, time_ns INTEGER, "
      "loss REAL, grad_norm REAL, lr REAL, step_ms REAL)");
  run("BEGIN");
  sqlite3_stmt* insert = nullptr;
  check(
      sqlite3_prepare_v2(db, "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)", -1, &insert, nullptr),
      db);
  for (const TrainingRow& row : rows) {
    sqlite3_bind_int64(insert, 1, row.rank);
    sqlite3_bind_int64(insert, 2, static_cast<sqlite3_int64>(row.step));
    sqlite3_bind_int64(insert, 3, row.time_ns);
    for (size_t k = 0; k < row.values.size(); ++k) {
      sqlite3_bind_double(insert, static_cast<int>(k) + 4, row.values[k]);
    }
    check(sqlite3_step(insert), db);
    sqlite3_reset(insert);
  }
  check(sqlite3_finalize(insert), db);
  run("COMMIT");
  check(sqlite3_close(db), db);
}
#endif

uint64_t size_of(const std::string& path) {
  return fs::is_directory(path) ? disk_bytes(path) : fs::file_size(path);
}

void measure_sizes(const Arguments& arguments, Figures& figures) {
  const Place place(folders_of(arguments));
  const TempFolder out(folders_of(arguments).disk);
  std::string example;
  const std::vector<TrainingRow> rows = train(arguments, place, example);
  const auto count = static_cast<double>(rows.size());
  figures.set("bytes_per_row.rows", count);
  const auto set = [&](const std::string& name, const std::string& path) {
    figures.set(name + ".bytes_per_row_4_float32", static_cast<double>(size_of(path)) / count);
  };
  log_again(rows, place);
  const std::string run = place.root() + "/bench/float32";
  set("store", run);
  figures.set("store.bytes_per_row_example", static_cast<double>(disk_bytes(example)) / count);
  for (const std::string format : {"jsonl", "csv", "wandb", "tfevents"}) {
    const std::string path = out.path() + "/" + format;
    run_checked({program("bin/ringlog"), "export", run, "--format", format, "-o", path});
    set(format, path);
  }
#ifdef RINGLOG_BENCH_SQLITE
  write_sqlite(out.path() + "/sqlite", rows);
  set("sqlite", out.path() + "/sqlite");
#else
  figures.note("sqlite.missing", "its library was not there at build time");
#endif
}

}  // namespace

}  // namespace ringlog::bench

int main(int argc, char** argv) {
  return ringlog::bench::run_main(argc, argv, ringlog::bench::measure_sizes);
}
