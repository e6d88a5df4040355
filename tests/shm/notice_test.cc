// Notices: the newest sentence is read once, whole, whatever became of the one before.

#include "shm/notice.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace ringlog::shm {
namespace {

class NoticeTest : public ::testing::Test {
 protected:
  std::optional<std::string> read() { return read_notice(*words_, seen_); }

  const std::unique_ptr<NoticeWords> words_ = std::make_unique<NoticeWords>();
  uint32_t seen_ = 0;
};

TEST_F(NoticeTest, EachIsReadOnce) {
  EXPECT_EQ(read(), std::nullopt);
  write_notice(*words_, "the disk is full");
  EXPECT_EQ(read(), "the disk is full");
  EXPECT_EQ(read(), std::nullopt);
  write_notice(*words_, "it can be written again");
  EXPECT_EQ(read(), "it can be written again");
}

TEST_F(NoticeTest, WhatIsTooLongEndsWithAWholeCharacter) {
  write_notice(*words_, std::string(503, 'x') + "\u00e4");
  EXPECT_EQ(read(), std::string(503, 'x'));
}

// A service that is killed between its stores leaves an odd serial.
TEST_F(NoticeTest, OneThatWasNeverFinishedHidesNoneThatComesLater) {
  for (int i = 0; i < 3; ++i) {
    words_->serial.fetch_add(1);
    EXPECT_EQ(read(), std::nullopt);
    const std::string text = "notice " + std::to_string(i);
    write_notice(*words_, text);
    EXPECT_EQ(read(), text);
  }
}

}  // namespace
}  // namespace ringlog::shm
