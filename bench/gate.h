#pragma once
// How a benchmark's processes wait for each other, asleep.
//
// A Gate is made before the children that wait at it are forked.

#include "bench/common.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

namespace ringlog::bench {

// Children wait at it until the parent opens it.
class Gate {
 public:
  Gate() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) fail_errno("pipe");
  }
  ~Gate() {
    open();
    ::close(ends_[0]);
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  // In a child.
  void wait() {
    open();  // this process's copy
    pollfd entry{ends_[0], POLLIN, 0};
    ::poll(&entry, 1, -1);
  }
  // In the parent.
  void open() {
    if (ends_[1] >= 0) ::close(std::exchange(ends_[1], -1));
  }

 private:
  std::array<int, 2> ends_{};
};

inline void wait_for_count(const std::atomic<uint32_t>& word, uint32_t wanted, double timeout_s) {
  const int64_t deadline = now_ns() + static_cast<int64_t>(timeout_s * 1e9);
  while (word.load() < wanted) {
    if (now_ns() > deadline) fail("not all processes came so far in time");
    pause_for(0.0005);
  }
}

}  // namespace ringlog::bench
