// Two looks make rates; what cannot be compared has none.

#include "cli/top_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace ringlog::cli {
namespace {

using ::testing::DoubleEq;
using ::testing::Optional;
using ::testing::SizeIs;

constexpr int64_t kSecond = 1'000'000'000;

ProducerGauges producer(uint32_t id, uint64_t logged, uint64_t dropped = 0) {
  return {.producer = id,
          .rank = static_cast<int32_t>(id),
          .logged = logged,
          .stored = logged / 2,
          .dropped = dropped};
}

RunGauges run_of(const std::string& dir, std::vector<ProducerGauges> producers) {
  RunGauges run{.run_id = dir, .dir = dir};
  for (const ProducerGauges& one : producers) {
    run.logged += one.logged;
    run.stored += one.stored;
    run.dropped += one.dropped;
  }
  run.producers = std::move(producers);
  return run;
}

Gauges look(int64_t time_ns, std::vector<RunGauges> runs, uint32_t epoch = 1) {
  Gauges gauges{.time_ns = time_ns, .pid = 17, .epoch = epoch};
  gauges.runs = std::move(runs);
  return gauges;
}

TEST(TopModel, OneLookHasNoRates) {
  const TopFrame frame = make_frame(nullptr, look(kSecond, {run_of("a", {producer(1, 100)})}));
  EXPECT_EQ(frame.interval_s, 0);
  EXPECT_FALSE(frame.cpu);
  ASSERT_THAT(frame.runs, SizeIs(1));
  EXPECT_FALSE(frame.runs[0].logged);
  ASSERT_THAT(frame.runs[0].producers, SizeIs(1));
  EXPECT_FALSE(frame.runs[0].producers[0].logged);
  EXPECT_EQ(frame.runs[0].producers[0].now.logged, 100u);
}

TEST(TopModel, TwoLooksMakeRatesASecond) {
  Gauges before = look(kSecond, {run_of("a", {producer(1, 100, 4)})});
  Gauges now = look(3 * kSecond, {run_of("a", {producer(1, 700, 5)})});
  before.runs[0].sinks = {{.url = "file:x", .sent_rows = 10}};
  now.runs[0].sinks = {{.url = "file:x", .sent_rows = 30}, {.url = "file:new", .sent_rows = 9}};
  before.cpu_ns = kSecond;
  now.cpu_ns = 2 * kSecond;
  const TopFrame frame = make_frame(&before, now);
  EXPECT_EQ(frame.interval_s, 2);
  EXPECT_THAT(frame.cpu, Optional(DoubleEq(0.5)));
  const TopRun& run = frame.runs.at(0);
  EXPECT_THAT(run.logged, Optional(DoubleEq(300)));
  EXPECT_THAT(run.stored, Optional(DoubleEq(150)));
  EXPECT_THAT(run.dropped, Optional(DoubleEq(0.5)));
  EXPECT_THAT(run.producers.at(0).logged, Optional(DoubleEq(300)));
  EXPECT_THAT(run.producers.at(0).dropped, Optional(DoubleEq(0.5)));
  EXPECT_THAT(run.sinks.at(0).sent, Optional(DoubleEq(10)));
  EXPECT_FALSE(run.sinks.at(1).sent) << "it was not there before";
}

TEST(TopModel, AnotherServiceBeginsAnew) {
  const Gauges before = look(kSecond, {run_of("a", {producer(1, 100)})}, 1);
  const TopFrame frame =
      make_frame(&before, look(2 * kSecond, {run_of("a", {producer(1, 200)})}, 2));
  EXPECT_EQ(frame.interval_s, 0);
  EXPECT_FALSE(frame.runs.at(0).logged);
}

TEST(TopModel, ACounterThatGoesBackHasNoRate) {
  const Gauges before = look(kSecond, {run_of("a", {producer(1, 100), producer(2, 5)})});
  const TopFrame frame =
      make_frame(&before, look(2 * kSecond, {run_of("a", {producer(1, 90), producer(2, 6)})}));
  EXPECT_FALSE(frame.runs.at(0).producers.at(0).logged);
  EXPECT_THAT(frame.runs.at(0).producers.at(1).logged, Optional(DoubleEq(1)));
}

TEST(TopModel, CountersOfAnySizeAreCompared) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  const Gauges before = look(kSecond, {run_of("a", {producer(1, kMax - 1)})});
  const TopFrame frame = make_frame(&before, look(2 * kSecond, {run_of("a", {producer(1, kMax)})}));
  EXPECT_THAT(frame.runs.at(0).producers.at(0).logged, Optional(DoubleEq(1)));
}

TEST(TopModel, LooksOfOneMomentHaveNoRate) {
  const Gauges before = look(kSecond, {run_of("a", {producer(1, 100)})});
  EXPECT_FALSE(make_frame(&before, before).runs.at(0).logged);
}

TEST(TopModel, WhoHasGoneIsGoneAndWhoIsNewHasNoRateYet) {
  const Gauges before = look(kSecond, {run_of("a", {producer(1, 100)}), run_of("b", {})});
  const TopFrame frame = make_frame(
      &before, look(2 * kSecond, {run_of("a", {producer(2, 50)}), run_of("c", {producer(1, 7)})}));
  ASSERT_THAT(frame.runs, SizeIs(2));
  ASSERT_THAT(frame.runs[0].producers, SizeIs(1));
  EXPECT_FALSE(frame.runs[0].producers[0].logged);
  EXPECT_FALSE(frame.runs[1].logged) << "producer 1 of another run is somebody else";
  EXPECT_FALSE(frame.runs[1].producers.at(0).logged);
}

// Ranks in that order.
std::vector<int32_t> ranks_by(const TopFrame& frame, TopOrder order) {
  std::vector<int32_t> ranks;
  for (const TopEntry& entry : order_producers(frame, order)) {
    ranks.push_back(entry.producer->now.rank);
  }
  return ranks;
}

TEST(TopModel, TheBusiestComeFirst) {
  const Gauges before =
      look(kSecond, {run_of("a", {producer(1, 0), producer(2, 0)}), run_of("b", {producer(3, 0)})});
  Gauges now = look(2 * kSecond, {run_of("a", {producer(1, 10, 0), producer(2, 10, 9)}),
                                  run_of("b", {producer(3, 30, 5)})});
  now.runs[0].producers[0].rings = {{.used_bytes = 10, .capacity = 100},
                                    {.used_bytes = 90, .capacity = 100}};
  now.runs[1].producers[0].rings = {{.used_bytes = 80, .capacity = 100}};
  const TopFrame frame = make_frame(&before, now);
  EXPECT_THAT(ranks_by(frame, TopOrder::kRate), ::testing::ElementsAre(3, 1, 2));
  EXPECT_THAT(ranks_by(frame, TopOrder::kFill), ::testing::ElementsAre(1, 3, 2));
  EXPECT_THAT(ranks_by(frame, TopOrder::kDropped), ::testing::ElementsAre(2, 3, 1));
  EXPECT_THAT(ranks_by(frame, TopOrder::kRank), ::testing::ElementsAre(1, 2, 3));
}

TEST(TopModel, AFillIsThatOfTheFullestRing) {
  TopProducer producer;
  EXPECT_EQ(producer.fill(), 0);
  producer.now.rings = {{.used_bytes = 1, .capacity = 4}, {.used_bytes = 3, .capacity = 4}, {}};
  EXPECT_EQ(producer.fill(), 0.75);
}

}  // namespace
}  // namespace ringlog::cli
