#pragma once
// A store with rows, and a Sender of it over a clock that the test turns.

#include "daemon/sender.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "daemon_fixture.h"
#include "row_store.h"

namespace ringlog::service {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

class SenderFixture : public ::testing::Test {
 protected:
  // Lets it work until it sleeps for good, the clock following its wishes.
  void exhaust(Sender& sender) {
    for (int i = 0; i < 10'000; ++i) {
      const int64_t next = sender.step();
      if (next == kNever) return;
      clock_.now_ms = std::max(clock_.now_ms, next);
    }
    FAIL() << "the sender never comes to rest";
  }

  test::TempDir dir_;
  RowStore run_{dir_.file("run")};
  FakeClock clock_;
};

}  // namespace ringlog::service
