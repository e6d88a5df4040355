#pragma once
// A run after all its processes have ended and the service knows it: which rows it has of each, and
// whether its ledger agrees.

#include <ringlog/reader.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ringlog::test {

inline constexpr size_t kCellCount = 4;
inline const std::array<std::string, kCellCount> kCellNames{"a", "b", "c", "d"};

// A rank, and which of its processes: 0 is the rank's own.
using ProcessId = std::pair<int32_t, uint32_t>;

struct CellRow {
  uint64_t step = 0;
  std::array<uint64_t, kCellCount> bits{};
  bool operator==(const CellRow&) const = default;
};

// What row `index` of a process holds: doubles that use all their bits and that no other row has.
inline double cell_of(ProcessId process, uint64_t index, size_t column) {
  uint64_t x = (static_cast<uint64_t>(process.first) << 32 | process.second) * 0x9e3779b97f4a7c15;
  x = (x ^ (index * kCellCount + column + 1)) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 29) * 0x94d049bb133111eb;
  return static_cast<double>(x >> 11) / 3;
}

inline CellRow row_of(ProcessId process, uint64_t index) {
  CellRow row{.step = index};
  for (size_t i = 0; i < kCellCount; ++i) {
    row.bits[i] = std::bit_cast<uint64_t>(cell_of(process, index, i));
  }
  return row;
}

class SettledRun {
 public:
  // Waits until no process of the run is running any more.
  explicit SettledRun(const std::string& id) { settle(id); }

  // The rows of a process in the order of their numbers.
  const std::vector<CellRow>& rows_of(ProcessId process) { return rows_[process]; }

 private:
  void fail(const Error& error) { ADD_FAILURE() << error.message; }

  void settle(const std::string& id) {
    auto reader = ringlog::open(id);
    if (!reader) return fail(reader.error());
    for (bool is_over = false; !is_over;) {
      // Asks the service, and waits for its answer.
      if (const Status looked = reader->refresh(); !looked) return fail(looked.error());
      const auto processes = reader->processes();
      if (!processes) return fail(processes.error());
      is_over = std::none_of(processes->begin(), processes->end(),
                             [](const auto& process) { return process.state == "running"; });
    }
    read(*reader);
  }

  // What `ringlog verify` says ok to, process by process.
  void check_ledger(RunReader& reader) {
    const auto ledger = reader.ledger();
    if (!ledger) return fail(ledger.error());
    for (const LedgerEntry& entry : *ledger) {
      const ProcessDescription& process = entry.process;
      SCOPED_TRACE("rank " + std::to_string(process.rank) + ", process " +
                   std::to_string(process.worker));
      EXPECT_TRUE(entry.ok()) << entry.missing << " missing, " << entry.duplicated << " double";
      EXPECT_EQ(entry.dropped, 0u);
      EXPECT_EQ(entry.attempted, entry.stored);
      EXPECT_EQ(process.broken_rings, std::vector<std::string>{});
    }
    EXPECT_EQ(reader.damage(), std::vector<std::string>{});
  }
  void read(RunReader& reader) {
    check_ledger(reader);
    const auto table = reader.table();
    if (!table) return fail(table.error());
    std::array<const TableColumn*, kCellCount> columns{};
    for (size_t i = 0; i < kCellCount; ++i) {
      columns[i] = table->find(kCellNames[i]);
      ASSERT_TRUE(columns[i] != nullptr && columns[i]->kind == ColumnKind::kFloat64);
    }
    for (size_t at = 0; at < table->size(); ++at) {
      CellRow row{.step = table->step[at]};
      for (size_t i = 0; i < kCellCount; ++i) {
        row.bits[i] = std::bit_cast<uint64_t>(columns[i]->float64[at]);
      }
      rows_[{table->rank[at], table->worker[at]}].push_back(row);
    }
  }

  std::map<ProcessId, std::vector<CellRow>> rows_;
};

}  // namespace ringlog::test
