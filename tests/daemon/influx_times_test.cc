// Every row of a lane is a point of its own, whatever times it was given.

#include "daemon/sinks/influx_times.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "result_matchers.h"
#include "seed.h"

namespace ringlog::service {
namespace {

using test::FailsWith;
using test::IsOk;

// The points of a lane.
class Points {
 public:
  // False: there is one with this time and block already.
  bool add(int64_t time_ns) {
    const InfluxTime time = times_.take({1, 0}, {time_ns, seq_++});
    blocks_ += time.block ? 1 : 0;
    last_ns_ = time.ns;
    return points_.emplace(time.ns, time.block).second;
  }
  // As another service does.
  void restart() {
    auto times = InfluxTimes::from_text(times_.to_text());
    ASSERT_THAT(times, IsOk());
    EXPECT_EQ(*times, times_);
    times_ = *times;
  }
  size_t blocks() const { return blocks_; }
  int64_t last_ns() const { return last_ns_; }

 private:
  InfluxTimes times_;
  uint64_t seq_ = 0;
  std::set<std::pair<int64_t, std::optional<uint64_t>>> points_;
  size_t blocks_ = 0;
  int64_t last_ns_ = 0;
};

TEST(InfluxTimesTest, RowsThatAreStampedByAClockHaveNoBlock) {
  Points points;
  int64_t now_ns = 1'700'000'000'123'456'789;
  for (int i = 0; i < 50'000; ++i) {
    now_ns += 20;  // fifty in a microsecond
    ASSERT_TRUE(points.add(now_ns));
    ASSERT_EQ(points.last_ns() / 1000, now_ns / 1000);
  }
  EXPECT_EQ(points.blocks(), 0u);
}

TEST(InfluxTimesTest, RowsOfOneTimeAreAllThere) {
  Points points;
  for (int i = 0; i < 2500; ++i) ASSERT_TRUE(points.add(1'000'000)) << i;
  EXPECT_EQ(points.blocks(), 1500u);
}

TEST(InfluxTimesTest, RowsOfAnyTimesAreAllThereAlsoBehindARestart) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  Points points;
  for (int i = 0; i < 30'000; ++i) {
    if (random.one_in(500)) points.restart();
    ASSERT_TRUE(points.add(static_cast<int64_t>(random.below(7000)) - 3000)) << i;
  }
}

TEST(InfluxTimesTest, TheSameRowIsTheSamePoint) {
  InfluxTimes before;
  before.take({1, 0}, {5'000'000, 0});
  InfluxTimes again = before;
  EXPECT_EQ(before.take({1, 0}, {4'000'000, 1}).block, again.take({1, 0}, {4'000'000, 1}).block);
  EXPECT_EQ(before, again);
}

TEST(InfluxTimesTest, LanesAreApart) {
  InfluxTimes times;
  EXPECT_FALSE(times.take({1, 0}, {5'000'000, 0}).block);
  EXPECT_FALSE(times.take({1, 1}, {4'000'000, 0}).block);
  EXPECT_TRUE(times.take({1, 0}, {4'000'000, 1}).block);
}

TEST(InfluxTimesTest, GarbageIsNoCursor) {
  EXPECT_THAT(InfluxTimes::from_text("1 2 x"), FailsWith(Code::kCorrupt));
}

}  // namespace
}  // namespace ringlog::service
