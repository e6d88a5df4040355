// Alerts: one of a title in an interval; what is held back is counted.

#include "client/alert_limits.h"

#include <gtest/gtest.h>

namespace ringlog::client {
namespace {

using std::chrono::nanoseconds;

TEST(AlertLimits, TheFirstGoesOutAndTheNextSaysHowManyWereHeldBack) {
  AlertLimits limits;
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1000), 0u);
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1050), std::nullopt);
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1099), std::nullopt);
  EXPECT_EQ(limits.take("another", nanoseconds(100), 1099), 0u);
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1100), 2u);
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1200), 0u);
}

TEST(AlertLimits, OneThatCouldNotBeHandedOnCountsAsHeldBackAndHoldsBackNobody) {
  AlertLimits limits;
  limits.put_back("never seen", 0);
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1000), 0u);
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1001), std::nullopt);
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1100), 1u);
  limits.put_back("diverged", 1);
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1101), 2u);
  EXPECT_EQ(limits.take("diverged", nanoseconds(100), 1102), std::nullopt);
}

TEST(AlertLimits, WithoutAnIntervalAllGoOut) {
  AlertLimits limits;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limits.take("same", nanoseconds(0), 5), 0u);
}

TEST(AlertLimits, TitlesThatNeverEndTakeNoMoreMemoryAndGoOut) {
  AlertLimits limits;
  for (size_t i = 0; i < 2 * AlertLimits::kTitlesMax; ++i) {
    EXPECT_EQ(limits.take("step " + std::to_string(i), nanoseconds(100), 1), 0u);
  }
  EXPECT_EQ(limits.take("step 1", nanoseconds(100), 2), std::nullopt);
  EXPECT_EQ(limits.take("step 1999", nanoseconds(100), 2), 0u);
}

}  // namespace
}  // namespace ringlog::client
