#pragma once
// Ranks that log to a real service and are killed at an instruction: what they do until then, how
// they are stepped there, and what the service must have of them.
//
// Each killed child is a rank of its own, so one run holds all of a test.

#include <ringlog/ringlog.h>

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "service_place.h"
#include "settled_run.h"
#include "traced_child.h"
#include "watchdog.h"

namespace ringlog::test {

inline constexpr uint64_t kRingBytes = 128 * 1024;  // the least; marks are an eighth of it apart
inline constexpr uint64_t kRowsBefore = 4;
inline constexpr uint32_t kForkedWorker = 1;  // the service counts a rank's children from 1

using Cells = std::array<double, kCellCount>;

// What a child does: up to Progress::begin() freely, from there to end() one instruction at a time.
using Body = void (*)(Progress& progress, int32_t rank);

inline Run open_run(const char* id, int32_t rank) {
  Run run = init(
      {.project = "killed", .run_id = id, .rank = rank, .attempt = 0, .ring_bytes = kRingBytes});
  if (!run.ok()) ::_exit(1);
  return run;
}

inline Row open_row(Run& run) { return run.row({"a", "b", "c", "d"}); }

inline auto log_to(Row& row) {
  return [&row](uint64_t step, const Cells& c) { row.log(step, c[0], c[1], c[2], c[3]); };
}

inline Cells cells_of(int32_t rank, uint64_t index, uint32_t worker = 0) {
  Cells cells;
  for (size_t i = 0; i < cells.size(); ++i) cells[i] = cell_of({rank, worker}, index, i);
  return cells;
}

inline void wait_two_milliseconds() {
  const auto begin = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(2)) {
  }
}

// Brings log() to its steady state: keys are registered, functions bound, and the rows' clock knows
// the rate of the processor's counter, for which it reads the time twice, a millisecond apart.
template <typename Log>
void warm_up(Progress& progress, int32_t rank, const Log& log) {
  for (uint64_t i = 0; i < kRowsBefore; ++i) {
    if (i == kRowsBefore / 2) wait_two_milliseconds();
    const Cells cells = cells_of(rank, i);
    progress.begin_row();
    log(i, cells);
    progress.end_row();
  }
}

template <typename Log>
void log_followed(Progress& progress, int32_t rank, const Log& log) {
  const uint64_t index = progress.rows_begun();
  const Cells cells = cells_of(rank, index);
  progress.let_follow_without_time();
  progress.begin_row();
  progress.begin();
  log(index, cells);
  progress.end_row();
  progress.end();
}

// A child's death, and what it had told until then.
struct Killed {
  int32_t rank = 0;
  uint32_t worker = 0;
  std::vector<uintptr_t> executed;  // addresses of the instructions since begin()
  bool has_ended = false;
  uint64_t rows_begun = 0;
  uint64_t rows_committed = 0;
};

// Steps a child from begin() over `count` instructions, if its call has so many, and kills it.
inline Killed step_and_kill(TracedChild& child, const Progress& progress, size_t count) {
  while (!progress.has_begun() && child.step(progress)) {
  }
  Killed killed;
  while (killed.executed.size() < count && !progress.has_ended()) {
    killed.executed.push_back(child.address());
    if (child.step(progress)) continue;
    ADD_FAILURE() << "the child ended by itself";
    break;
  }
  child.kill();
  killed.has_ended = progress.has_ended();
  killed.rows_begun = progress.rows_begun();
  killed.rows_committed = progress.rows_committed();
  return killed;
}

// Proves that a process's rows are the first that it logged, bit by bit and in order: all that were
// committed, and at most the one that was under way.  How many.
inline uint64_t check_rows(SettledRun& run, const Killed& killed) {
  const auto& rows = run.rows_of({killed.rank, killed.worker});
  EXPECT_GE(rows.size(), killed.rows_committed);
  EXPECT_LE(rows.size(), killed.rows_begun);
  for (uint64_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i], row_of({killed.rank, killed.worker}, i)) << "row " << i;
  }
  if (killed.worker != 0) {
    // Its parent has logged a row before the fork and one after its death.
    const ProcessId parent{killed.rank, 0};
    EXPECT_EQ(run.rows_of(parent), (std::vector{row_of(parent, 0), row_of(parent, 1)}));
  }
  return rows.size();
}

class KillTest : public ::testing::Test {
 protected:
  void SetUp() override {
#ifndef __x86_64__
    GTEST_SKIP() << "elsewhere a stepped load-linked, store-conditional pair never succeeds";
#endif
    if (kIsSanitized) GTEST_SKIP() << "most instructions here are the sanitizer's";
    SharedProgress progress;
    TracedChild child([&] { progress->let_follow(); });
    if (!child.wait_until_it_asks()) GTEST_SKIP() << "ptrace is not permitted here";
  }

  Killed kill_after(Body body, size_t count) {
    SharedProgress progress;
    const int32_t rank = next_rank_++;
    TracedChild child([&] { body(*progress, rank); });
    EXPECT_TRUE(child.wait_until_it_asks());
    Killed killed = step_and_kill(child, *progress, count);
    killed.rank = rank;
    return killed;
  }

  static constexpr size_t kToTheEnd = SIZE_MAX;

  int32_t next_rank_ = 0;

 private:
  const Watchdog watchdog_;
  const ServicePlace place_;
};

}  // namespace ringlog::test
