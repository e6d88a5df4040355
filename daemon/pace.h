#pragma once
// Pace: how long the drain thread may rest between two looks at its rings.
//
// Learns from how full the rings are when it looks, so that it comes by its own timer before a ring
// is full, and producers at a steady rate need not wake it with a system call.
//
// Owned by the drain thread.

#include "daemon/limits.h"

#include <algorithm>
#include <cstdint>

namespace ringlog::service {

class Pace {
 public:
  explicit Pace(int64_t now_ns) : since_ns_(now_ns) {}

  // A look at `now_ns` found the fullest ring filled to `part` of its room, and emptied it.
  void saw(double part, int64_t now_ns) {
    part_ += part;
    const int64_t elapsed_ns = now_ns - since_ns_;
    // Looks that follow each other closely say little one by one: rows come in bursts.
    if (elapsed_ns < rest_ns_ / 2 && part_ < kRestPart) return;
    const double until_part = part_ > 0 ? static_cast<double>(elapsed_ns) * kRestPart / part_
                                        : static_cast<double>(kRestNsMax);
    // Twice as long at most: a pause of a fast producer is not its new rate.
    const int64_t longest_ns = std::min(2 * rest_ns_, kRestNsMax);
    rest_ns_ = std::clamp(static_cast<int64_t>(std::min(until_part, 1e18)), kRestNsMin, longest_ns);
    since_ns_ = now_ns;
    part_ = 0;
  }

  // Nanoseconds from one look to the next.
  int64_t rest_ns() const { return rest_ns_; }
  // Nothing that comes now needs to be fetched soon.
  bool is_calm() const { return rest_ns_ >= kRestNsMax; }
  // From which part of a ring on its producer should wake the drain thread.
  uint64_t wake_part() const { return is_calm() ? kWakePartCalm : kWakePartBusy; }

 private:
  int64_t rest_ns_ = kRestNsMax;
  int64_t since_ns_;  // what part_ adds up from
  double part_ = 0;
};

}  // namespace ringlog::service
