#pragma once
// Exponential backoff with jitter.
//
// A plain function; safe from any thread.

#include "daemon/limits.h"

#include <algorithm>
#include <cstdint>
#include <random>

namespace ringlog::service {

// Milliseconds before the next try after `failures` in a row.
inline int64_t backoff_ms(int failures, std::mt19937_64& random) {
  constexpr int kDoublingsMax = 10;
  const int doublings = std::clamp(failures - 1, 0, kDoublingsMax);
  const int64_t base = std::min(kSinkRetryFirstMs << doublings, kSinkRetryMaxMs);
  // Half to one and a half times, so that many do not come back at the same moment.
  return base / 2 + static_cast<int64_t>(random() % static_cast<uint64_t>(base));
}

}  // namespace ringlog::service
