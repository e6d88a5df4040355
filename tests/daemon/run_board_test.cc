// Who gets which rank, attempt and worker, and what the ends of producers make of the run.

#include "daemon/run_board.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "daemon_fixture.h"

namespace ringlog::service {
namespace {

class RunBoardTest : public ::testing::Test {
 protected:
  store::ProducerState join(const ProducerSpec& spec) {
    Peer peer;
    peer.pid = pid_;
    auto state = board_.join(spec, peer, "host", 1);
    EXPECT_THAT(state, IsOk());
    return *state;
  }
  store::ProducerState join_rank(int32_t rank, int32_t attempt = -1) {
    ProducerSpec spec;
    spec.rank = rank;
    spec.attempt = attempt;
    return join(spec);
  }
  void end(store::ProducerState state, const std::string& how) {
    state.state = how;
    board_.update(state, 2);
  }

  RunBoard board_{store::RunMeta{}, {}};
  int32_t pid_ = ::getpid();  // of a process that lives
};

TEST_F(RunBoardTest, ProcessesWithoutARankGetTheLowestFreeOne) {
  EXPECT_EQ(join({}).rank, 0);
  const auto second = join({});
  EXPECT_EQ(second.rank, 1);
  EXPECT_EQ(join({}).rank, 2);
  board_.mark_gone(second.producer);
  const auto back = join({});
  EXPECT_EQ(back.rank, 1);
  EXPECT_EQ(back.attempt, 1) << "the dead one is an earlier attempt, stored or not";
}

TEST_F(RunBoardTest, ARankThatComesBackIsTheNextAttempt) {
  const auto come_and_go = [&](int32_t attempt) {
    const auto state = join_rank(3, attempt);
    EXPECT_EQ(state.worker, 0u);
    board_.mark_gone(state.producer);
    return state.attempt;
  };
  EXPECT_EQ(come_and_go(-1), 0);
  EXPECT_EQ(come_and_go(-1), 1);
  EXPECT_EQ(come_and_go(0), 2) << "a given attempt that exists is counted on";
  EXPECT_EQ(come_and_go(7), 7) << "the launcher's number is kept";
  EXPECT_EQ(come_and_go(-1), 8);
}

// Found by the fuzzer of the control socket: the number behind the highest there is.
TEST_F(RunBoardTest, NumbersThatCannotBeCountedOnFromAreRefused) {
  for (const auto& [rank, attempt] : {std::pair(INT32_MAX, 0), {0, INT32_MAX}, {0, 1'000'001}}) {
    ProducerSpec spec;
    spec.rank = rank;
    spec.attempt = attempt;
    EXPECT_THAT(board_.join(spec, Peer(), "host", 1), FailsWith(Code::kInvalidArgument));
  }
  // As a segment or a store says that somebody wrote into.
  store::ProducerState foreign;
  foreign.producer = 7;
  foreign.attempt = INT32_MAX;
  ASSERT_TRUE(board_.adopt(foreign));
  EXPECT_EQ(join_rank(0).attempt, 0);
}

TEST_F(RunBoardTest, AProgramThatALivingRankStartedIsItsWorker) {
  join_rank(3);
  for (const int32_t attempt : {-1, 0}) {
    const auto helper = join_rank(3, attempt);
    EXPECT_EQ(helper.attempt, 0);
    EXPECT_EQ(helper.worker, attempt == -1 ? 1u : 2u);
  }
  EXPECT_EQ(join_rank(3, 1).worker, 0u) << "the launcher says that it is another attempt";
  pid_ = INT32_MAX;  // and of one that does not, though nobody has noticed
  EXPECT_EQ(join_rank(5).attempt, 0);
  EXPECT_EQ(join_rank(5).attempt, 1);
}

TEST_F(RunBoardTest, ForkedChildrenShareRankAndAttemptAndCountAsWorkers) {
  const auto parent = join_rank(2, 5);
  ProducerSpec child;
  child.parent_producer = parent.producer;
  const auto first = join(child);
  const auto second = join(child);
  EXPECT_EQ((std::array<int64_t, 3>{first.rank, first.attempt, first.worker}),
            (std::array<int64_t, 3>{2, 5, 1}));
  EXPECT_EQ(second.worker, 2u);
  child.parent_producer = 99;
  EXPECT_THAT(board_.join(child, {}, "", 1), FailsWith(Code::kNotFound));
}

TEST_F(RunBoardTest, AToolBesideARankTakesNoRank) {
  ProducerSpec tool;
  tool.worker = 65535;
  EXPECT_EQ(join(tool).rank, 0);
  EXPECT_EQ(join({}).rank, 0);
}

TEST_F(RunBoardTest, ProducerIdsAreNeverReused) {
  const auto first = join({});
  const auto second = join({});
  EXPECT_EQ(first.producer, 1u);
  EXPECT_EQ(second.producer, 2u);
  end(second, "finished");
  EXPECT_EQ(join({}).producer, 3u);
}

TEST_F(RunBoardTest, JoiningReopensTheRun) {
  end(join({}), "finished");
  EXPECT_EQ(board_.meta().state, "finished");
  EXPECT_EQ(board_.meta().ended_ns, 2);
  join({});
  EXPECT_EQ(board_.meta().state, "running");
  EXPECT_EQ(board_.meta().ended_ns, 0);
}

TEST_F(RunBoardTest, ChangesAreHandedOutOnce) {
  EXPECT_FALSE(board_.take_changed_meta());
  RunSpec spec;
  spec.name = "a name";
  board_.describe(spec);
  ASSERT_TRUE(board_.take_changed_meta());
  EXPECT_FALSE(board_.take_changed_meta());
  board_.describe(spec);
  EXPECT_FALSE(board_.take_changed_meta()) << "nothing new";
  spec.is_synced = true;
  board_.describe(spec);
  EXPECT_TRUE(board_.take_changed_meta()->is_synced);
  spec.is_synced = false;
  board_.describe(spec);
  EXPECT_TRUE(board_.meta().is_synced) << "what one process asked for holds for the run";
}

TEST_F(RunBoardTest, StepsGoOnWhereTheNewestAttemptEnded) {
  auto first = join_rank(0);
  first.next_step = 100;
  end(first, "crashed");
  EXPECT_EQ(board_.next_step(0), 100u);
  auto second = join_rank(0);
  second.next_step = 60;
  end(second, "finished");
  EXPECT_EQ(board_.next_step(0), 60u);
  EXPECT_EQ(board_.next_step(1), 0u);
}

TEST_F(RunBoardTest, ASegmentOfSomebodyElseIsNotAdopted) {
  auto state = join({});
  state.segment = "aaaa";
  board_.update(state, 1);
  EXPECT_TRUE(board_.adopt(state));
  state.segment = "bbbb";
  EXPECT_FALSE(board_.adopt(state));
}

store::ProducerState ended(int32_t rank, int32_t attempt, const char* state, uint32_t worker = 0) {
  store::ProducerState p;
  p.rank = rank;
  p.attempt = attempt;
  p.state = state;
  p.worker = worker;
  return p;
}

TEST(RunState, FollowsTheNewestAttemptOfEachRank) {
  const struct {
    std::vector<store::ProducerState> producers;
    bool is_stop_requested;
    const char* expected;
  } cases[] = {
      {{ended(0, 0, "finished"), ended(1, 0, "running")}, false, "running"},
      {{ended(0, 0, "finished"), ended(1, 0, "finished")}, false, "finished"},
      {{ended(0, 0, "finished"), ended(1, 0, "finished")}, true, "stopped"},
      {{ended(0, 0, "finished"), ended(1, 0, "crashed")}, true, "crashed"},
      {{ended(0, 0, "failed"), ended(1, 0, "crashed"), ended(2, 0, "killed")}, false, "failed"},
      {{ended(0, 0, "killed"), ended(1, 0, "finished")}, false, "killed"},
      {{ended(2, 0, "crashed"), ended(2, 1, "finished")}, false, "finished"},
      {{ended(2, 1, "finished"), ended(2, 0, "crashed")}, false, "finished"},
      {{ended(0, 0, "finished"), ended(0, 0, "killed", 1)}, false, "finished"},
      {{ended(0, 0, "finished"), ended(0, 0, "running", 1)}, false, "running"},
      {{ended(0, 0, "failed", 65535)}, false, "failed"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(run_state(c.producers, c.is_stop_requested), c.expected);
  }
}

}  // namespace
}  // namespace ringlog::service
