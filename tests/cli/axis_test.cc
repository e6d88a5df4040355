// Ticks lie in the range, at round values, with labels that can be told apart.

#include "cli/axis.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "seed.h"

namespace ringlog::cli {
namespace {

std::vector<std::string> labels(double low, double high, size_t count_max) {
  std::vector<std::string> out;
  for (const Tick& tick : make_ticks(make_range(low, high), count_max)) out.push_back(tick.label);
  return out;
}

using Labels = std::vector<std::string>;

TEST(Axis, LabelsRoundValues) {
  EXPECT_EQ(labels(0, 1, 6), (Labels{"0", "0.2", "0.4", "0.6", "0.8", "1.0"}));
  EXPECT_EQ(labels(1.2, 6.9, 4), (Labels{"2", "4", "6"}));
  EXPECT_EQ(labels(-1, 1, 3), (Labels{"-1", "0", "1"}));
  EXPECT_EQ(labels(0.001, 0.0094, 4), (Labels{"0.002", "0.004", "0.006", "0.008"}));
}

TEST(Axis, ShortensLargeValuesAndWritesExtremeOnesWithExponents) {
  EXPECT_EQ(labels(0, 60'000, 4), (Labels{"0", "20k", "40k", "60k"}));
  EXPECT_EQ(labels(0, 1'500'000, 4), (Labels{"0", "0.5M", "1.0M", "1.5M"}));
  EXPECT_EQ(labels(0, 3e-7, 4), (Labels{"0", "1e-07", "2e-07", "3e-07"}));
  EXPECT_EQ(labels(0, 2e20, 3), (Labels{"0", "1e+20", "2e+20"}));
}

TEST(Axis, WidensARangeWithoutExtent) {
  for (const double value : {0.0, 1.0, -3.5, 1e300, -1e-300, 5e-324}) {
    const Range range = make_range(value, value);
    EXPECT_LT(range.low, range.high) << value;
    EXPECT_FALSE(make_ticks(range, 5).empty()) << value;
  }
}

TEST(Axis, KeepsTheEndsOfDoublesFinite) {
  constexpr double kMax = std::numeric_limits<double>::max();
  const Range range = make_range(-kMax, kMax);
  EXPECT_TRUE(std::isfinite(range.high - range.low));
  EXPECT_GE(make_ticks(range, 5).size(), 2U);
}

// For ranges of any size anywhere.
TEST(Axis, HasSomeTicksAndNotTooManyAndAllDiffer) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  for (int i = 0; i < 20'000; ++i) {
    const double scale = std::pow(10.0, static_cast<double>(random.below(40)) - 20);
    const double low = (static_cast<double>(random.below(2'000'001)) / 1e6 - 1) * scale;
    const double span = static_cast<double>(1 + random.below(1'000'000)) / 1e6 * scale;
    const Range range = make_range(low, low + span);
    const size_t count_max = random.between(3, 12);
    const std::vector<Tick> ticks = make_ticks(range, count_max);
    std::set<std::string> texts;
    for (const Tick& tick : ticks) {
      const double slack = (range.high - range.low) * 1e-6;
      ASSERT_GE(tick.value, range.low - slack) << low << " + " << span;
      ASSERT_LE(tick.value, range.high + slack) << low << " + " << span;
      texts.insert(tick.label);
    }
    ASSERT_GE(ticks.size(), count_max >= 5 ? 2U : 1U) << low << " + " << span << ", " << count_max;
    ASSERT_LE(ticks.size(), count_max) << low << " + " << span;
    ASSERT_EQ(texts.size(), ticks.size()) << low << " + " << span << ", " << count_max;
  }
}

}  // namespace
}  // namespace ringlog::cli
