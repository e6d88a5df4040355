#pragma once
// RowClock: what time it is, for a row.
//
// clock_gettime costs more than all the rest of a row.log, so between two readings of it, at most a
// millisecond apart, the time is carried on by the processor's time stamp counter, whose rate is
// measured over such an interval.  The result stays within about 0.1 µs of CLOCK_REALTIME and
// follows every step of that clock within a millisecond; it may go back by as much where the two
// meet.  Where the kernel itself does not keep time by that counter, every call reads the clock.
//
// One per ring; belongs to the ring's thread.

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace ringlog::client {

class RowClock {
 public:
  // Asks the kernel what it keeps time by, the first time in a process, so that no row has to.
  RowClock();
  // Nanoseconds since the Unix epoch.
  int64_t now_ns() {
#if defined(__x86_64__)
    const uint64_t delta = __rdtsc() - base_ticks_;
    if (delta < valid_ticks_) {
      return base_ns_ + static_cast<int64_t>(delta * ns_per_tick_ >> kShift);
    }
#endif
    return read();
  }

 private:
  static constexpr int kShift = 32;
  int64_t read();

  uint64_t base_ticks_ = 0;
  uint64_t valid_ticks_ = 0;  // how long after the base the counter may be used; 0: not at all
  uint64_t ns_per_tick_ = 0;  // fixed point, kShift bits
  int64_t base_ns_ = 0;       // CLOCK_REALTIME at the base
  int64_t base_boot_ns_ = 0;  // CLOCK_BOOTTIME at the base
};

}  // namespace ringlog::client
