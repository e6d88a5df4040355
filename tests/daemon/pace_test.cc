// Pace: the drain thread comes before the fastest ring is full, and no more often than that needs.

#include "daemon/pace.h"

#include <gtest/gtest.h>

namespace ringlog::service {
namespace {

constexpr int64_t kMsNs = 1'000'000;

// Looks as often as the pace says, at a ring that fills in `fill_ns`, until `end_ns`.
int64_t follow(Pace& pace, int64_t fill_ns, int64_t begin_ns, int64_t end_ns) {
  int64_t now = begin_ns;
  while (now < end_ns) {
    const int64_t rest = std::min(pace.rest_ns(), shm::kServiceSleepMaxMs * kMsNs);
    now += rest;
    pace.saw(static_cast<double>(rest) / static_cast<double>(fill_ns), now);
  }
  return now;
}

TEST(Pace, IsCalmWhenNothingComes) {
  Pace pace(0);
  EXPECT_EQ(pace.wake_part(), kWakePartCalm);
  follow(pace, INT64_MAX, 0, 1000 * kMsNs);
  EXPECT_EQ(pace.rest_ns(), kRestNsMax);
  EXPECT_EQ(pace.wake_part(), kWakePartCalm);
}

TEST(Pace, RestsWhileTheFastestRingFillsAQuarter) {
  Pace pace(0);
  follow(pace, 20 * kMsNs, 0, 1000 * kMsNs);
  EXPECT_NEAR(static_cast<double>(pace.rest_ns()), 5.0 * kMsNs, 0.01 * kMsNs);
  EXPECT_EQ(pace.wake_part(), kWakePartBusy);
}

TEST(Pace, FollowsAFasterProducerAtOnce) {
  Pace pace(0);
  const int64_t now = follow(pace, 100 * kMsNs, 0, 1000 * kMsNs);
  // It rings at half a ring, 2 ms later.
  pace.saw(0.5, now + 2 * kMsNs);
  EXPECT_EQ(pace.rest_ns(), kMsNs);
}

TEST(Pace, FollowsASlowerOneByAndBy) {
  Pace pace(0);
  const int64_t now = follow(pace, 20 * kMsNs, 0, 1000 * kMsNs);
  pace.saw(0, now + pace.rest_ns());
  EXPECT_NEAR(static_cast<double>(pace.rest_ns()), 10.0 * kMsNs, 0.02 * kMsNs);
  follow(pace, INT64_MAX, now, now + 2000 * kMsNs);
  EXPECT_EQ(pace.rest_ns(), kRestNsMax);
}

TEST(Pace, DoesNotTakeOneBurstForTheRate) {
  Pace pace(0);
  const int64_t now = follow(pace, 20 * kMsNs, 0, 1000 * kMsNs);
  const int64_t rest = pace.rest_ns();
  // Somebody woke it in between, when a burst had just come.
  pace.saw(0.01, now + 1000);
  EXPECT_EQ(pace.rest_ns(), rest);
}

TEST(Pace, HasItsBounds) {
  Pace pace(0);
  follow(pace, 1000, 0, 10 * kMsNs);
  EXPECT_EQ(pace.rest_ns(), kRestNsMin);
}

}  // namespace
}  // namespace ringlog::service
