// Alerts: one of a title in an interval; what is held back is counted.

#include "client/alert_limits.h"

#include <gtest/gtest.h>

namespace ringlog::client {
namespace {

using std::chrono::nanoseconds;

std::optional<AlertLimits::Turn> first(uint64_t held = 0) { return AlertLimits::Turn{held, false}; }
std::optional<AlertLimits::Turn> retry(uint64_t held) { return AlertLimits::Turn{held, true}; }

TEST(AlertLimits, TheFirstGoesOutAndTheNextSaysHowManyWereHeldBack) {
  AlertLimits limits;
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1000), first());
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1050), std::nullopt);
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1099), std::nullopt);
  EXPECT_EQ(limits.take("another", nanoseconds(100), 1099), first());
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1100), first(2));
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1200), first());
}

TEST(AlertLimits, OneThatCouldNotBeHandedOnCountsAsHeldBackAndHoldsBackNobody) {
  AlertLimits limits;
  limits.put_back("never seen", {});
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1000), first());
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1001), std::nullopt);
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1100), first(1));
  limits.put_back("diverged", {1, false});
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1101), retry(2));
  limits.put_back("diverged", {2, true});
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1101), retry(3));
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1102), std::nullopt);
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1202), first(1));
}

TEST(AlertLimits, WithoutAnIntervalAllGoOut) {
  AlertLimits limits;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limits.take("same", nanoseconds(0), 5), first());
}

TEST(AlertLimits, TitlesThatNeverEndTakeNoMoreMemoryAndGoOut) {
  AlertLimits limits;
  for (size_t i = 0; i < 2 * AlertLimits::kTitlesMax; ++i) {
    EXPECT_EQ(limits.take("step " + std::to_string(i), nanoseconds(100), 1), first());
  }
  EXPECT_EQ(limits.take("step 1", nanoseconds(100), 2), std::nullopt);
  EXPECT_EQ(limits.take("step 1999", nanoseconds(100), 2), first());
}

}  // namespace
}  // namespace ringlog::client
