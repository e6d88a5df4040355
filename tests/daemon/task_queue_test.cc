// Tasks from one thread to another, and their end.

#include "daemon/task_queue.h"

#include <gtest/gtest.h>

namespace ringlog::service {
namespace {

// One that sleeps by other means than wait() would not be woken a second time.
TEST(TaskQueue, AStopThatComesWithTheLastTaskIsSeenWithIt) {
  TaskQueue queue;
  int ran = 0;
  queue.post([&] { ++ran; });
  queue.stop();
  EXPECT_FALSE(queue.run());
  EXPECT_EQ(ran, 1);
}

TEST(TaskQueue, WhatTheLastTaskPostsIsRunBeforeTheEnd) {
  int wakes = 0;
  TaskQueue queue([&] { ++wakes; });
  int ran = 0;
  queue.post([&] { queue.post([&] { ++ran; }); });
  queue.stop();
  EXPECT_TRUE(queue.run());
  EXPECT_EQ(wakes, 3);
  EXPECT_FALSE(queue.run());
  EXPECT_EQ(ran, 1);
}

}  // namespace
}  // namespace ringlog::service
