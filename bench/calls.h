#pragma once
// How long each of many calls takes, while the rest of the machine does what it does.
//
// Calls come in bursts at a steady rate, as from a training loop that does something else between.
// In every other burst each call is measured by itself; the bursts between are measured whole,
// which gives a mean without the timer.  The timer's own share is subtracted from every single
// call.

#include "bench/common.h"
#include "bench/histogram.h"

#include <algorithm>
#include <cstdint>
#include <string>

namespace ringlog::bench {

struct Pace {
  double calls_per_s = 250'000;
  uint64_t calls_per_burst = 50;
  double seconds = 0.02;
};

struct CallTimes {
  Histogram single;          // ticks
  uint64_t whole_ticks = 0;  // of the bursts that were measured whole
  uint64_t whole_calls = 0;
};

// Calls `call(i)` for i = first, first + 1, …; returns the next i.
template <typename Call>
uint64_t time_calls(const Pace& pace, uint64_t first, CallTimes& times, const Call& call) {
  const auto interval_ns =
      static_cast<int64_t>(static_cast<double>(pace.calls_per_burst) * 1e9 / pace.calls_per_s);
  const int64_t end = now_ns() + static_cast<int64_t>(pace.seconds * 1e9);
  uint64_t i = first;
  bool is_single = false;
  for (int64_t next = now_ns(); next < end; next = std::max(next + interval_ns, now_ns())) {
    while (now_ns() < next) {
    }
    const uint64_t last = i + pace.calls_per_burst;
    is_single = !is_single;
    if (is_single) {
      for (; i < last; ++i) {
        const uint64_t start = first_tick();
        call(i);
        times.single.add(last_tick() - start);
      }
    } else {
      const uint64_t start = first_tick();
      for (; i < last; ++i) call(i);
      times.whole_ticks += last_tick() - start;
      times.whole_calls += pace.calls_per_burst;
    }
  }
  return i;
}

// A quantile of single calls without the timer's share, in nanoseconds.
inline double quantile_ns(const Histogram& single, double q) {
  const double ticks = single.quantile(q, timer().step_ticks) - timer().empty_ticks;
  return std::max(ticks, 0.0) * ns_per_tick();
}

// NAME.p50_ns, p99_ns, p999_ns, max_ns, mean_ns.
inline void add_call_figures(const std::string& name, const CallTimes& times, Figures& figures) {
  figures.set(name + ".p50_ns", quantile_ns(times.single, 0.5));
  figures.set(name + ".p99_ns", quantile_ns(times.single, 0.99));
  figures.set(name + ".p999_ns", quantile_ns(times.single, 0.999));
  figures.set(name + ".max_ns", quantile_ns(times.single, 1));
  figures.set(name + ".mean_ns", static_cast<double>(times.whole_ticks) * ns_per_tick() /
                                     static_cast<double>(std::max<uint64_t>(times.whole_calls, 1)));
}

}  // namespace ringlog::bench
