// The control thread's loop.

#include "daemon/control_loop.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "watchdog.h"

namespace ringlog::service {
namespace {

TEST(ControlLoop, WhatOneTaskThrowsKeepsNoOtherFromRunning) {
  const test::Watchdog watchdog;
  ControlLoop loop(Signals::kLeave);
  int ran = 0;
  loop.post([] { throw std::runtime_error("a mistake"); });
  loop.post([&] { ++ran; });
  loop.after(0, [&] {
    loop.post([&] {
      ++ran;
      loop.exit();
    });
  });
  loop.run();
  EXPECT_EQ(ran, 2);
}

}  // namespace
}  // namespace ringlog::service
