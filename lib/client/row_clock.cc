#include "client/row_clock.h"

#include "shm/posix.h"

#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_gettime

namespace ringlog::client {

#if defined(__x86_64__)

namespace {

// The kernel checks at boot and for ever after that the counters of all processors run alike; where
// it does not trust them for its own clock, neither do we.
bool is_counter_trusted() {
  static const bool kIsTrusted = [] {
    auto source =
        shm::read_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", 16);
    return source && source->starts_with("tsc");
  }();
  return kIsTrusted;
}

int64_t boot_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

constexpr int64_t kIntervalNs = 1'000'000;
constexpr int kTriesMax = 4;
// About 100 ns on processors of today; the readings themselves take 70.
constexpr uint64_t kTightTicks = 400;

}  // namespace

RowClock::RowClock() { is_counter_trusted(); }

int64_t RowClock::read() {
  if (!is_counter_trusted()) return shm::realtime_ns();
  uint64_t ticks = 0;
  int64_t now = 0;
  int64_t boot = 0;
  // Three readings that belong together; again if something came between them.
  for (int i = 0; i < kTriesMax; ++i) {
    const uint64_t before = __rdtsc();
    now = shm::realtime_ns();
    const uint64_t after = __rdtsc();
    // The rate is taken from a clock that never steps and, like the counter, goes on in a sleep of
    // the machine: with one that stands still then, an hour of ticks would seem to be an instant.
    boot = boot_ns();
    ticks = before + (after - before) / 2;
    if (__rdtsc() - before < kTightTicks) break;
  }
  const int64_t elapsed = boot - base_boot_ns_;
  // Too soon after the base to know the rate well.
  if (base_ticks_ != 0 && elapsed < kIntervalNs) return now;
  // Over a longer pause the products below could overflow; then only a new base is taken.
  constexpr int64_t kElapsedMax = int64_t{1} << 31;
  if (base_ticks_ != 0 && elapsed < kElapsedMax && ticks > base_ticks_) {
    ns_per_tick_ = (static_cast<uint64_t>(elapsed) << kShift) / (ticks - base_ticks_);
    valid_ticks_ = (static_cast<uint64_t>(kIntervalNs) << kShift) / (ns_per_tick_ | 1);
  }
  base_ticks_ = ticks;
  base_ns_ = now;
  base_boot_ns_ = boot;
  return now;
}

#else

RowClock::RowClock() = default;

int64_t RowClock::read() { return shm::realtime_ns(); }

#endif

}  // namespace ringlog::client
