// When a W&B server is sent something.

#include "daemon/sinks/wandb_pace.h"

#include <gtest/gtest.h>

#include "daemon/limits.h"

namespace ringlog::service {
namespace {

constexpr WandbPace::Wish kNothing{.is_running = true};
constexpr WandbPace::Wish kLines{.has_lines = true, .is_running = true};
constexpr WandbPace::Wish kUrgent{.has_lines = true, .is_urgent = true, .is_running = true};
constexpr WandbPace::Wish kEnd{.has_lines = true, .is_urgent = true};

TEST(WandbPace, SendsTheFirstLinesAtOnceAndTheNextOnesAfterTheInterval) {
  WandbPace pace(15'000, 30'000);
  EXPECT_EQ(pace.next_ms(kLines), 0);
  pace.sent(1'000);
  EXPECT_EQ(pace.next_ms(kLines), 16'000);
  EXPECT_EQ(pace.next_ms(kUrgent), 0);
  EXPECT_EQ(pace.next_ms(kEnd), 0);
}

TEST(WandbPace, GivesASignOfLifeOnlyOfARunThatGoesOn) {
  WandbPace pace(15'000, 30'000);
  EXPECT_EQ(pace.next_ms(kNothing), std::nullopt) << "nothing was ever sent";
  pace.sent(1'000);
  EXPECT_EQ(pace.next_ms(kNothing), 31'000);
  EXPECT_EQ(pace.next_ms({}), std::nullopt);
}

TEST(WandbPace, SpreadsWhatTheServerAllowsOverTheTimeThatIsLeft) {
  WandbPace pace(0, 30'000);
  pace.answered(10, 60'000, 1'000);
  EXPECT_EQ(pace.next_ms(kUrgent), 7'000);
  pace.answered(1, 60'000, 1'000);
  EXPECT_EQ(pace.next_ms(kUrgent), 1'000 + kWandbGapMaxMs);
  pace.answered(0, 60'000, 1'000);
  EXPECT_EQ(pace.next_ms(kEnd), 61'000) << "the limit is used up";
  pace.answered(-1, -1, 2'000);
  EXPECT_EQ(pace.next_ms(kEnd), 61'000) << "an answer that says nothing changes nothing";
}

}  // namespace
}  // namespace ringlog::service
