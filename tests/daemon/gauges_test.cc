// Gauges: what an intake and its board say of rings, rows and lag, and how much of it is told.

#include "daemon/gauges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "intake_fixture.h"

namespace ringlog::service {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

class GaugesTest : public IntakeTest {
 protected:
  RunGauges look(size_t producers_max = kGaugesProducersMax) {
    return read_gauges({"id", "name", "project", "/dir"}, board_, *intake_, clock_.now_ms,
                       producers_max);
  }
  // A process that has joined and said which keys its rows have.
  std::unique_ptr<Producer> start(int32_t rank) {
    auto process = join(rank);
    process->register_keys(0, 64, {"a"});
    turn_and_store();
    return process;
  }
};

TEST_F(GaugesTest, TellsWhoARunIsAndWhoTakesPart) {
  const auto process = start(7);
  const RunGauges run = look();
  EXPECT_EQ(run.run_id, "id");
  EXPECT_EQ(run.project, "project");
  EXPECT_EQ(run.dir, "/dir");
  EXPECT_EQ(run.state, "running");
  EXPECT_EQ(run.live, 1u);
  ASSERT_THAT(run.producers, SizeIs(1));
  EXPECT_EQ(run.producers[0].rank, 7);
  EXPECT_EQ(run.producers[0].attempt, 0);
  EXPECT_THAT(run.producers[0].rings, SizeIs(1)) << "only the rings that are in use";
}

TEST_F(GaugesTest, RowsThatAreNotStoredFillTheRing) {
  const auto process = start(0);
  EXPECT_EQ(look().backlog_bytes, 0u);
  const uint64_t before = process->ring(0).position();
  for (uint64_t i = 0; i < 100; ++i) process->log(0, 64, {i});
  const uint64_t bytes = process->ring(0).position() - before;
  EXPECT_EQ(look().backlog_bytes, bytes) << "nobody has read them";
  turn();
  const RunGauges read = look();
  EXPECT_EQ(read.backlog_bytes, bytes) << "read is not stored";
  EXPECT_EQ(read.logged, 100u);
  EXPECT_EQ(read.stored, 0u);
  ASSERT_THAT(read.producers, SizeIs(1));
  EXPECT_EQ(read.producers[0].rings.at(0).used_bytes, bytes);
  EXPECT_EQ(read.producers[0].rings.at(0).capacity, shm::kRingBytesMin);
  turn_and_store();
  ports_[0]->segment->service().stored_rows.store(100);  // as the store thread does
  EXPECT_EQ(look().backlog_bytes, 0u);
  EXPECT_EQ(look().stored, 100u);
}

TEST_F(GaugesTest, ARingThatIsFullDropsWhatItsProcessCounts) {
  const auto process = start(0);
  uint64_t written = 0;
  while (process->log(0, 64, {written})) ++written;
  process->ring(0).count_drop();
  turn();
  const RunGauges run = look();
  EXPECT_EQ(run.dropped, 1u);
  EXPECT_EQ(run.logged, written + 1);
  const RingGauges& ring = run.producers.at(0).rings.at(0);
  EXPECT_GT(ring.used_bytes, ring.capacity * 99 / 100);
  EXPECT_LE(ring.used_bytes, ring.capacity);
  EXPECT_FALSE(run.producers[0].is_waiting);
}

TEST_F(GaugesTest, TheLagIsTheAgeOfTheOldestThatIsNotStored) {
  const auto process = start(0);
  EXPECT_EQ(look().lag_ms, 0u);
  process->log(0, 64, {1});
  turn();
  clock_.now_ms += kBatchAgeMs;
  auto batch = due();
  ASSERT_TRUE(batch);
  process->log(0, 64, {2});
  turn();
  clock_.now_ms += 10'000;
  EXPECT_EQ(look().lag_ms, static_cast<uint64_t>(10'000 + kBatchAgeMs)) << "the disk hangs";
  store(std::move(batch));
  EXPECT_EQ(look().lag_ms, 10'000u) << "the next batch is younger";
  turn_and_store();
  EXPECT_EQ(look().lag_ms, 0u);
}

TEST_F(GaugesTest, BeyondTheLimitTheFullestAreToldAndAllAreCounted) {
  const auto first = start(0);
  const auto second = start(1);
  const auto third = start(2);
  first->log(0, 64, {1});
  for (uint64_t i = 0; i < 10; ++i) third->log(0, 64, {i});
  turn();
  const RunGauges all = look();
  const RunGauges some = look(1);
  ASSERT_THAT(some.producers, SizeIs(1));
  EXPECT_EQ(some.producers[0].rank, 2);
  EXPECT_EQ(some.producers_left_out, 2u);
  EXPECT_EQ(some.logged, 11u);
  EXPECT_EQ(some.backlog_bytes, all.backlog_bytes);
  EXPECT_EQ(all.producers_left_out, 0u);
}

TEST_F(GaugesTest, AProcessThatHasEndedIsInTheSumsOnly) {
  const auto ended = start(0);
  const auto running = start(1);
  for (uint64_t i = 0; i < 5; ++i) ended->log(0, 64, {i});
  running->log(0, 64, {1});
  turn_and_store();
  intake_->end(ended->segment().header().producer_id, {.exit_word = 0});
  turn_and_store();
  const RunGauges run = look();
  ASSERT_THAT(run.producers, SizeIs(1));
  EXPECT_EQ(run.producers[0].rank, 1);
  EXPECT_EQ(run.live, 1u);
  EXPECT_EQ(run.logged, 6u);
}

TEST_F(GaugesTest, AStoreThatCannotBeWrittenIsSaid) {
  board_.set_store_error(std::string(10'000, 'x'));
  EXPECT_EQ(look().store_error, std::string(kGaugesTextMax, 'x')) << "no longer than a line";
}

TEST(GaugesOfSinks, LagBehindWhatIsStored) {
  RunGauges run;
  run.stored = 100;
  size_t room = 2;
  uint32_t left_out = 0;
  take_sinks(run,
             {{.url = "a", .sent_rows = 70, .left_out_rows = 10, .lag_ms = 5},
              {.url = "b", .sent_rows = 100, .lag_ms = 5},
              {.url = "c"}},
             room, left_out);
  ASSERT_THAT(run.sinks, SizeIs(2));
  EXPECT_EQ(run.sinks[0].lag_rows, 20u);
  EXPECT_EQ(run.sinks[0].lag_ms, 5u);
  EXPECT_EQ(run.sinks[1].lag_rows, 0u);
  EXPECT_EQ(run.sinks[1].lag_ms, 0u) << "something else than rows was stored";
  EXPECT_EQ(left_out, 1u);
}

TEST(GaugesOfSinks, AnErrorIsCutBetweenCharacters) {
  RunGauges run;
  size_t room = 1;
  uint32_t left_out = 0;
  std::string error(kGaugesTextMax - 1, 'x');
  take_sinks(run, {{.last_error = error + "\xc3\xa4" + "b"}}, room, left_out);
  EXPECT_EQ(run.sinks.at(0).last_error, error);
}

}  // namespace
}  // namespace ringlog::service
