// Writes a long run for read_bench, with the store's own writer and nothing around it.
//
//   --rows N      rows of its one rank
//   --metrics N   numbers in each
//   --run PATH    its folder, which must not exist yet
//
// Values are those of training_values.h, but for one spike in the loss, at three eighths of the
// run.

#include "bench/common.h"
#include "bench/service.h"
#include "bench/training_values.h"
#include "store/store.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ringlog::bench {

namespace {

constexpr int64_t kFirstNs = 1'790'000'000'000'000'000;
constexpr double kStepNs = 10e6;
constexpr double kSpike = 1e6;
// Those that a fast logger's commit brings.
constexpr uint64_t kCommitRows = 4096;

void check(const Status& status) {
  if (!status) fail(status.error().message);
}

store::KeySet key_set(size_t width) {
  store::KeySet keys;
  keys.id = 1;
  for (const std::string& name : training_names(width)) keys.columns.push_back({name});
  return keys;
}

store::Commit first_commit(const store::KeySet& keys) {
  store::Commit commit;
  commit.key_sets.push_back(keys);
  store::RunMeta& meta = commit.meta.emplace();
  meta.run_id = "wide";
  meta.project = "bench";
  meta.created_ns = kFirstNs;
  meta.state = "running";
  return commit;
}

store::ProducerState rank_at(uint64_t rows, uint64_t ring_bytes) {
  store::ProducerState rank;
  rank.producer = 1;
  rank.state = "running";
  rank.started_ns = kFirstNs;
  store::RingState& ring = rank.rings.emplace_back();
  ring.position = rows * ring_bytes;
  ring.next_seq = ring.stored = rows;
  ring.key_sets = {{uint16_t{1}, 1U}};
  return rank;
}

void write_rows(store::Store& store, const store::KeySet& keys, uint64_t rows) {
  const size_t width = keys.columns.size();
  const TrainingValues values(width);
  const uint64_t ring_bytes = 48 + 8 * width;
  const uint64_t spike = rows * 3 / 8;
  Noise jitter;
  std::vector<uint64_t> cells(width);
  for (uint64_t row = 0; row < rows;) {
    store::Commit commit;
    store::RowBlock& block = commit.blocks.emplace_back(store::LaneId{1, 0}, keys);
    for (const uint64_t end = std::min(row + kCommitRows, rows); row < end; ++row) {
      const auto from = values.row(row);
      std::transform(from.begin(), from.end(), cells.begin(),
                     [](double value) { return std::bit_cast<uint64_t>(value); });
      if (row == spike) cells[0] = std::bit_cast<uint64_t>(kSpike);
      const double since = kStepNs * (static_cast<double>(row) + 0.2 * jitter.next());
      block.add_row(row, row, kFirstNs + static_cast<int64_t>(since), cells);
    }
    commit.producers.push_back(rank_at(row, ring_bytes));
    check(store.write(commit, /*sync=*/false));
  }
}

void make_run(const Arguments& arguments, Figures& figures) {
  const std::string dir = arguments.text("run");
  if (dir.empty()) fail("--run is needed");
  const auto rows = static_cast<uint64_t>(arguments.number("rows", 10'000));
  const store::KeySet keys = key_set(static_cast<size_t>(arguments.number("metrics", 100)));
  const int64_t start_ns = now_ns();
  auto store = store::Store::open(dir);
  if (!store) fail(store.error().message);
  check((*store)->write(first_commit(keys), /*sync=*/true));
  write_rows(**store, keys, rows);
  store::Commit last;
  last.producers.push_back(rank_at(rows, 48 + 8 * keys.columns.size()));
  last.producers.back().state = "finished";
  last.ended.push_back(1);
  check((*store)->write(last, /*sync=*/true));
  (*store)->tidy();
  store->reset();
  const auto values = static_cast<double>(rows * keys.columns.size());
  figures.set("wide_run.s", static_cast<double>(now_ns() - start_ns) / 1e9);
  figures.set("wide_run.cpu_ns_per_value", cpu_seconds() * 1e9 / values);
  figures.set("wide_run.bytes_per_value", static_cast<double>(disk_bytes(dir)) / values);
}

}  // namespace

}  // namespace ringlog::bench

int main(int argc, char** argv) {
  return ringlog::bench::run_main(argc, argv, ringlog::bench::make_run);
}
