// Calls that take many thousands of instructions: the same children as in
// kill_at_every_instruction_test.cc, killed at places all over them.

#include <ringlog/ringlog.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kill_fixture.h"
#include "seed.h"
#include "segment_tail.h"

namespace ringlog::test {
namespace {

// In another order they are another key set.  What its registration calls was called before, so
// that what is stepped is not the dynamic linker.
void log_new_keys(Progress& progress, int32_t rank) {
  Run run = open_run("new-keys", rank);
  warm_up(progress, rank, [&](uint64_t step, const Cells& c) {
    run.log({{"b", c[1]}, {"a", c[0]}, {"c", c[2]}, {"d", c[3]}}, {.step = step});
  });
  log_followed(progress, rank, [&](uint64_t step, const Cells& c) {
    run.log({{"d", c[3]}, {"c", c[2]}, {"b", c[1]}, {"a", c[0]}}, {.step = step});
  });
}

void log_across_a_mark(Progress& progress, int32_t rank) {
  Run run = open_run("mark", rank);
  Row row = open_row(run);
  const auto log = log_to(row);
  warm_up(progress, rank, log);
  const SegmentTail tail;
  while (tail.bytes_to_next_mark() > kCellRowBytes) {
    const uint64_t index = progress.rows_begun();
    progress.begin_row();
    log(index, cells_of(rank, index));
    progress.end_row();
  }
  log_followed(progress, rank, log);
}

void finish_run(Progress& progress, int32_t rank) {
  Run run = open_run("finish", rank);
  Row row = open_row(run);
  warm_up(progress, rank, log_to(row));
  progress.let_follow();
  progress.begin();
  run.finish();
  progress.end();
}

// The rows that are counted are the forked child's; when it is dead its parent logs one more.
void fork_and_log(Progress& progress, int32_t rank) {
  Run run = open_run("fork", rank);
  Row row = open_row(run);
  const auto log = log_to(row);
  log(0, cells_of(rank, 0));
  progress.let_follow();
  const pid_t child = ::fork();
  if (child == 0) {
    const Cells cells = cells_of(rank, 0, kForkedWorker);
    Progress::stop();
    progress.begin_row();
    progress.begin();
    log(0, cells);
    progress.end_row();
    progress.end();
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  log(1, cells_of(rank, 1));
}

class SampledCall : public KillTest {
 protected:
  // The forked child of a child is killed; the child goes on and ends.
  Killed kill_forked_after(size_t count) {
    SharedProgress progress;
    const int32_t rank = next_rank_++;
    TracedChild parent([&] { fork_and_log(*progress, rank); });
    EXPECT_TRUE(parent.wait_until_it_asks());
    while (parent.run_to_signal() && parent.forked() == 0) {
    }
    TracedChild child(parent.forked());
    EXPECT_TRUE(child.run_to_signal());
    Killed killed = step_and_kill(child, *progress, count);
    while (parent.run_to_signal()) {
    }
    EXPECT_TRUE(parent.has_exited_well());
    killed.rank = rank;
    killed.worker = kForkedWorker;
    return killed;
  }

  // Kills at `samples` places that divide the call evenly, each moved at random.
  template <typename Kill>
  void kill_all_over(size_t samples, const char* run_id, const Kill& kill) {
    SCOPED_TRACE(seed_text(seed()));
    std::vector<Killed> killed{kill(kToTheEnd)};
    EXPECT_TRUE(killed.front().has_ended);
    const size_t length = killed.front().executed.size();
    const size_t stride = std::max<size_t>(length / samples, 1);
    for (size_t at = 0; at < length; at += stride) {
      killed.push_back(kill(at + random_.below(stride)));
    }
    SettledRun run(run_id);
    for (const Killed& one : killed) {
      SCOPED_TRACE("killed after " + std::to_string(one.executed.size()) + " instructions");
      check_rows(run, one);
    }
    RecordProperty("instructions", std::to_string(length));
    RecordProperty("processes", std::to_string(killed.size()));
  }
  void kill_all_over(size_t samples, const char* run_id, Body body) {
    kill_all_over(samples, run_id, [&](size_t count) { return kill_after(body, count); });
  }

 private:
  Random random_{seed()};
};

TEST_F(SampledCall, TheFirstRowOfNewKeysIsThereOrNot) {
  kill_all_over(10, "new-keys", log_new_keys);
}

TEST_F(SampledCall, ARowThatRingsTheDoorbellIsThereOrNot) {
  kill_all_over(80, "mark", log_across_a_mark);
}

TEST_F(SampledCall, AForkedChildsFirstRowIsThereOrNot) {
  kill_all_over(3, "fork", [&](size_t count) { return kill_forked_after(count); });
}

TEST_F(SampledCall, AFinishThatIsCutShortLosesNoRow) { kill_all_over(5, "finish", finish_run); }

}  // namespace
}  // namespace ringlog::test
