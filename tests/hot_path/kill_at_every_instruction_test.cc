// DESIGN 1.3: kill a rank at any instruction, and every row that was committed is stored exactly
// once.  Here "any" is every one: a child that logs to a real service is stepped K instructions
// into a call and killed there, for K = 0, 1, 2, … until the call has returned.

#include <ringlog/ringlog.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "kill_fixture.h"

namespace ringlog::test {
namespace {

void log_prepared_row(Progress& progress, int32_t rank) {
  Run run = open_run("row-log", rank);
  Row row = open_row(run);
  warm_up(progress, rank, log_to(row));
  log_followed(progress, rank, log_to(row));
}

void log_named_values(Progress& progress, int32_t rank) {
  Run run = open_run("run-log", rank);
  const auto log = [&](uint64_t step, const Cells& c) {
    run.log({{"a", c[0]}, {"b", c[1]}, {"c", c[2]}, {"d", c[3]}}, {.step = step});
  };
  warm_up(progress, rank, log);
  log_followed(progress, rank, log);
}

// Children have their code where this process has it.
bool is_system_call(uintptr_t address) {
  std::array<unsigned char, 2> code;
  std::memcpy(code.data(), reinterpret_cast<const void*>(address), code.size());
  return code == std::array<unsigned char, 2>{0x0f, 0x05};
}

class SteadyState : public KillTest {
 protected:
  void kill_at_every_instruction_of(Body body, const char* run_id) {
    // A child that was not allowed to run for a while goes another way; the shortest is the usual.
    for (int i = 0; i < 5; ++i) {
      killed_.push_back(kill_after(body, kToTheEnd));
      const auto& path = killed_.back().executed;
      if (path_.empty() || path.size() < path_.size()) path_ = path;
    }
    const size_t stride = path_.size() / kPlacesMax + 1;
    for (size_t count = 0; count <= path_.size(); count += stride) kill_on_path(body, count);
    SettledRun run(run_id);
    for (const Killed& killed : killed_) {
      SCOPED_TRACE("killed after " + std::to_string(killed.executed.size()) + " instructions");
      is_stored_.push_back(check_rows(run, killed) == kRowsBefore + 1);
    }
    check_commit(stride == 1);
    EXPECT_EQ(std::count_if(path_.begin(), path_.end(), is_system_call), 0);
    RecordProperty("instructions", std::to_string(path_.size()));
    RecordProperty("processes", std::to_string(killed_.size()));
  }

 private:
  // Every instruction of an optimised build, and a part of the many more of another.
  static constexpr size_t kPlacesMax = 1000;

  bool is_on_path(const Killed& killed) const {
    return killed.executed.size() <= path_.size() &&
           std::equal(killed.executed.begin(), killed.executed.end(), path_.begin());
  }

  // Another child takes the place of one that went another way, for example because it was not
  // allowed to run for a while and looked at the clock; what it left is checked all the same.
  void kill_on_path(Body body, size_t count) {
    constexpr int kTriesMax = 100;
    for (int i = 0; i < kTriesMax; ++i) {
      killed_.push_back(kill_after(body, count));
      if (is_on_path(killed_.back())) return;
    }
    FAIL() << "no child goes the usual way for " << count << " instructions";
  }

  // One instruction commits: whoever has executed it has a row, whoever has not has none.
  void check_commit(bool is_exact) {
    size_t commit = path_.size();
    for (size_t i = 0; i < killed_.size(); ++i) {
      if (is_stored_[i] && is_on_path(killed_[i])) {
        commit = std::min(commit, killed_[i].executed.size());
      }
    }
    ASSERT_GT(commit, 0u) << "the row is there before it is logged";
    const uintptr_t address = path_[commit - 1];
    for (size_t i = 0; i < killed_.size(); ++i) {
      const auto& executed = killed_[i].executed;
      SCOPED_TRACE("killed after " + std::to_string(executed.size()) + " instructions");
      if (is_on_path(killed_[i])) {
        EXPECT_EQ(is_stored_[i], executed.size() >= commit);
      } else if (is_exact) {
        const auto found = std::find(executed.begin(), executed.end(), address);
        EXPECT_EQ(is_stored_[i], found != executed.end());
      }
    }
    RecordProperty("instructions_to_commit", std::to_string(commit));
  }

  std::vector<uintptr_t> path_;
  std::vector<Killed> killed_;
  std::vector<bool> is_stored_;
};

TEST_F(SteadyState, APreparedRowIsThereFromOneInstructionOn) {
  kill_at_every_instruction_of(log_prepared_row, "row-log");
}

TEST_F(SteadyState, ARowOfNamedValuesIsThereFromOneInstructionOn) {
  kill_at_every_instruction_of(log_named_values, "run-log");
}

}  // namespace
}  // namespace ringlog::test
