// Replies that wait to be fetched: until their slot has another one, and no more than fit.

#include "daemon/large_replies.h"

#include <gtest/gtest.h>

#include <string>

#include "daemon/limits.h"
#include "shm/mailbox.h"

namespace ringlog::service {
namespace {

uint32_t word_of(uint32_t generation) {
  return shm::slot_word(generation, shm::SlotState::kRequested);
}

// Two of these fit, and a small one, but not three.
const std::string kHalf(kLargeRepliesBytesMax / 2 - 100, 'x');

TEST(LargeReplies, StayUntilTheirSlotHasAnother) {
  LargeReplies replies;
  replies.put("segment", 3, word_of(1), "first");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(replies.fetch("segment", 3, word_of(1)), "first");
  EXPECT_FALSE(replies.fetch("segment", 3, word_of(2)));
  EXPECT_FALSE(replies.fetch("segment", 4, word_of(1)));
  EXPECT_FALSE(replies.fetch("other", 3, word_of(1)));
  replies.put("segment", 3, word_of(2), "second");
  EXPECT_FALSE(replies.fetch("segment", 3, word_of(1)));
  EXPECT_EQ(replies.fetch("segment", 3, word_of(2)), "second");
}

TEST(LargeReplies, GoWhenNobodyWillFetchThem) {
  LargeReplies replies;
  replies.put("segment", 3, word_of(1), "cancelled");
  replies.put("segment", 4, word_of(1), "of a process that ends");
  replies.put("other", 3, word_of(1), "of another");
  replies.drop("segment", 3, word_of(2));
  EXPECT_TRUE(replies.fetch("segment", 3, word_of(1)));
  replies.drop("segment", 3, word_of(1));
  EXPECT_FALSE(replies.fetch("segment", 3, word_of(1)));
  replies.forget("segment");
  EXPECT_FALSE(replies.fetch("segment", 4, word_of(1)));
  EXPECT_TRUE(replies.fetch("other", 3, word_of(1)));
}

TEST(LargeReplies, MakeRoomWithWhatWasFetchedAndThenWithTheOldest) {
  LargeReplies replies;
  replies.put("a", 0, word_of(1), kHalf);
  replies.put("b", 0, word_of(1), kHalf);
  EXPECT_TRUE(replies.fetch("b", 0, word_of(1)));
  replies.put("c", 0, word_of(1), kHalf);
  EXPECT_FALSE(replies.fetch("b", 0, word_of(1)));
  replies.put("d", 0, word_of(1), kHalf);
  EXPECT_FALSE(replies.fetch("a", 0, word_of(1)));
  EXPECT_TRUE(replies.fetch("c", 0, word_of(1)));
  EXPECT_TRUE(replies.fetch("d", 0, word_of(1)));
}

// Whoever asks again and again takes the room of one.
TEST(LargeReplies, OfOneSlotTakeNoMoreRoomThanTheLast) {
  LargeReplies replies;
  replies.put("a", 0, word_of(1), kHalf);
  for (uint32_t i = 1; i < 5; ++i) replies.put("b", 0, word_of(i), kHalf);
  EXPECT_TRUE(replies.fetch("a", 0, word_of(1)));
  EXPECT_TRUE(replies.fetch("b", 0, word_of(4)));
}

TEST(LargeReplies, OneThatIsLargerThanAllIsKeptAlone) {
  LargeReplies replies;
  replies.put("a", 0, word_of(1), kHalf);
  replies.put("b", 0, word_of(1), std::string(kLargeRepliesBytesMax + 1, 'x'));
  EXPECT_FALSE(replies.fetch("a", 0, word_of(1)));
  EXPECT_TRUE(replies.fetch("b", 0, word_of(1)));
}

}  // namespace
}  // namespace ringlog::service
