#pragma once
// The clock that everything with a deadline is given, so that tests can turn it.
//
// Safe from any thread.

#include "shm/posix.h"

#include <cstdint>

namespace ringlog::service {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t monotonic_ms() const = 0;
  // Nanoseconds since the Unix epoch.
  virtual int64_t realtime_ns() const = 0;
};

class SystemClock final : public Clock {
 public:
  int64_t monotonic_ms() const override { return shm::monotonic_ns() / 1'000'000; }
  int64_t realtime_ns() const override { return shm::realtime_ns(); }
};

}  // namespace ringlog::service
