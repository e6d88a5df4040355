// RowClock: the time of a row, carried on by the time stamp counter between readings of the clock.

#include "client/row_clock.h"

#include "shm/posix.h"

#include <gtest/gtest.h>

namespace ringlog::client {
namespace {

// Not a bound on precision, which bench/ measures, but on mistakes: a wrong rate or a stale base is
// off by far more within the tenth of a second this runs.
constexpr int64_t kToleranceNs = 1'000'000;

TEST(RowClock, StaysWithTheSystemClock) {
  RowClock clock;
  const int64_t end = shm::monotonic_ns() + 100'000'000;
  while (shm::monotonic_ns() < end) {
    const int64_t before = shm::realtime_ns();
    const int64_t now = clock.now_ns();
    const int64_t after = shm::realtime_ns();
    ASSERT_GE(now, before - kToleranceNs);
    ASSERT_LE(now, after + kToleranceNs);
  }
}

TEST(RowClock, FirstReadingIsTheSystemClock) {
  RowClock clock;
  const int64_t before = shm::realtime_ns();
  const int64_t now = clock.now_ns();
  EXPECT_GE(now, before);
  EXPECT_LE(now, shm::realtime_ns());
}

}  // namespace
}  // namespace ringlog::client
