// RowClock over a suspend of the machine: its own code over a counter and clocks that stand still
// until the test lets time pass.

#if defined(__x86_64__)

#include <gtest/gtest.h>
#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_gettime
#include <x86intrin.h>

#include <string>

#include "shm/posix.h"

namespace ringlog {
namespace {

// A machine whose counter makes three steps a nanosecond.
struct Machine {
  static constexpr int64_t kTicksPerNs = 3;
  int64_t awake_ns = 1'000'000'000;  // CLOCK_MONOTONIC
  int64_t boot_ns = 1'000'000'000;
  int64_t realtime_ns = 1'700'000'000'000'000'000;

  void work(int64_t ns) {
    awake_ns += ns;
    suspend(ns);
  }
  void suspend(int64_t ns) {
    boot_ns += ns;
    realtime_ns += ns;
  }
  uint64_t ticks() const { return static_cast<uint64_t>(boot_ns * kTicksPerNs); }
};
Machine g_machine;

int clock_of_machine(clockid_t clock, timespec* out) {
  const int64_t ns = clock == CLOCK_BOOTTIME ? g_machine.boot_ns : g_machine.awake_ns;
  out->tv_sec = ns / 1'000'000'000;
  out->tv_nsec = ns % 1'000'000'000;
  return 0;
}

}  // namespace

namespace shm {
namespace {
int64_t realtime_of_machine() { return g_machine.realtime_ns; }
Result<std::string> file_of_machine(const std::string&, size_t) { return std::string("tsc\n"); }
}  // namespace
}  // namespace shm

}  // namespace ringlog

// The library's own RowClock is not linked: its symbols are those of the code below.
#define __rdtsc ringlog::g_machine.ticks
#define clock_gettime ringlog::clock_of_machine
#define realtime_ns realtime_of_machine
#define read_file file_of_machine
#include "client/row_clock.cc"
#undef __rdtsc
#undef clock_gettime
#undef realtime_ns
#undef read_file

namespace ringlog::client {
namespace {

// Rows of the next ten milliseconds, each a microsecond after the last.
void expect_right_times(RowClock& clock) {
  for (int i = 0; i < 10'000; ++i) {
    g_machine.work(1000);
    ASSERT_NEAR(static_cast<double>(clock.now_ns() - g_machine.realtime_ns), 0, 100) << i;
  }
}

TEST(RowClock, GoesOnRightAfterASuspend) {
  RowClock clock;
  expect_right_times(clock);
  for (const int64_t seconds : {1, 3600, 86'400}) {
    SCOPED_TRACE(seconds);
    g_machine.suspend(seconds * 1'000'000'000);
    expect_right_times(clock);
  }
}

TEST(RowClock, FollowsAStepOfTheSystemClock) {
  RowClock clock;
  expect_right_times(clock);
  for (const int64_t step : {3'600'000'000'000, -7'200'000'000'000}) {
    g_machine.realtime_ns += step;
    g_machine.work(1'000'000);
    expect_right_times(clock);
  }
}

}  // namespace
}  // namespace ringlog::client

#endif
