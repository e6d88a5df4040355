// The Sender's watermark and patience.

#include "daemon/sender.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "daemon/limits.h"
#include "seed.h"
#include "sender_fixture.h"

namespace ringlog::service {
namespace {

using ::testing::HasSubstr;

// A destination in memory that can be told to fail.  The rows outlive the sink, as a server would.
struct Destination {
  std::vector<uint64_t> rows;
  int failures = 0;  // of the next sends
  bool is_refusing = false;
  int open_failures = 0;
  int sends = 0;
  int64_t retry_after_ms = 0;
  bool is_hanging = false;
  size_t batch_max = std::numeric_limits<size_t>::max();
  std::set<uint64_t> bad_rows{};
  std::set<uint64_t> unreadable{};
};

class MemorySink final : public Sink {
 public:
  explicit MemorySink(Destination& to) : to_(to) {}
  Limits limits() const override {
    return {.rows = kSinkBatchRows, .bytes = kSinkBatchBytes, .interval_ms = kSinkIntervalMs};
  }
  Status open(const store::RunMeta&, const std::string&) override {
    if (to_.open_failures > 0) {
      --to_.open_failures;
      return Error{Code::kIo, "not now"};
    }
    return Done{};
  }
  size_t add(const store::RowView& row) override {
    if (to_.unreadable.contains(row.bits(0))) {
      ++left_out_;
    } else {
      batch_.push_back(row.bits(0));
    }
    return batch_.size() * 8;
  }
  uint64_t left_out() const override { return left_out_; }
  std::optional<SendResult> send() override {
    using Kind = SendResult::Kind;
    if (to_.is_hanging) return {};
    ++to_.sends;
    if (to_.is_refusing) return SendResult{.kind = Kind::kRefused, .message = "never"};
    if (to_.failures > 0) {
      --to_.failures;
      return SendResult{
          .kind = Kind::kRetry, .retry_after_ms = to_.retry_after_ms, .message = "not now"};
    }
    const bool is_bad = std::any_of(batch_.begin(), batch_.end(),
                                    [&](uint64_t row) { return to_.bad_rows.contains(row); });
    if (is_bad || batch_.size() > to_.batch_max) {
      return SendResult{.kind = Kind::kSplit, .message = is_bad ? "bad row" : "too large"};
    }
    to_.rows.insert(to_.rows.end(), batch_.begin(), batch_.end());
    return SendResult{};
  }
  std::string cursor() const override { return std::to_string(to_.rows.size()); }
  void clear() override {
    batch_.clear();
    left_out_ = 0;
  }

 private:
  Destination& to_;
  std::vector<uint64_t> batch_;
  uint64_t left_out_ = 0;
};

class SenderTest : public SenderFixture {
 protected:
  std::unique_ptr<Sender> make_sender() {
    return std::make_unique<Sender>("mem://u:p@x", std::make_unique<MemorySink>(to_), *run_.store,
                                    clock_, 1);
  }
  void expect_all_sent() {
    ASSERT_EQ(to_.rows.size(), run_.next_seq);
    for (uint64_t i = 0; i < to_.rows.size(); ++i) ASSERT_EQ(to_.rows[i], i);
  }

  Destination to_;
};

TEST_F(SenderTest, SendsWhatIsStoredOnceAndThenRests) {
  run_.add(100);
  const auto sender = make_sender();
  exhaust(*sender);
  expect_all_sent();
  EXPECT_TRUE(sender->is_idle());
  EXPECT_EQ(to_.sends, 1);
  run_.add(50);
  EXPECT_EQ(sender->step(), kNever) << "not before it is told";
  sender->wake();
  exhaust(*sender);
  expect_all_sent();
  EXPECT_EQ(sender->status().sent_rows, 150u);
  EXPECT_EQ(sender->status().url, "mem://u@x");
  EXPECT_EQ(sender->status().state, "good");
}

TEST_F(SenderTest, SaysWhichLookIsSentWhole) {
  run_.add(3 * kSinkBatchRows);
  const auto sender = make_sender();
  sender->look_anew();
  EXPECT_EQ(sender->status().looks_wanted, 1u);
  to_.failures = 2;
  for (int i = 0; i < 3; ++i) clock_.now_ms = std::max(clock_.now_ms, sender->step());
  EXPECT_EQ(sender->status().looks_sent, 0u);
  sender->look_anew();
  const uint64_t wanted = sender->status().looks_wanted;
  exhaust(*sender);
  expect_all_sent();
  EXPECT_EQ(sender->status().looks_sent, wanted);
  exhaust(*sender);
  EXPECT_EQ(sender->status().looks_sent, wanted) << "nobody asked for another one";
  sender->look_anew();
  exhaust(*sender);
  EXPECT_EQ(sender->status().looks_sent, wanted + 1) << "though there was nothing to send";
}

TEST_F(SenderTest, SaysHowOldTheOldestRowIsThatIsNotSent) {
  const auto sender = make_sender();
  exhaust(*sender);
  EXPECT_EQ(sender->status().lag_ms, 0u) << "nothing was stored";
  to_.failures = 1'000'000;
  run_.add(10);  // whose times are those of the epoch
  sender->wake();
  clock_.now_ms += 700;
  EXPECT_EQ(sender->status().lag_ms, 700u) << "since it heard of them";
  for (int i = 0; i < 5; ++i) clock_.now_ms = std::max(clock_.now_ms, sender->step());
  EXPECT_EQ(sender->status().lag_ms + 1, static_cast<uint64_t>(clock_.now_ms))
      << "it has read the oldest one, though it sent none";
  to_.failures = 0;
  exhaust(*sender);
  expect_all_sent();
  EXPECT_EQ(sender->status().lag_ms, 0u);
}

TEST_F(SenderTest, WhatCameSinceTheLookIsNoOlderThanThat) {
  run_.add(10);
  const auto sender = make_sender();
  to_.is_hanging = true;
  sender->wake();
  sender->step();
  clock_.now_ms += 5000;
  sender->wake();  // more rows, which this look has not seen
  to_.is_hanging = false;
  sender->step();
  sender->step();  // finds that it has sent all of the look
  clock_.now_ms += 100;
  EXPECT_EQ(sender->status().lag_ms, 100u);
}

TEST_F(SenderTest, SendsInBatches) {
  run_.add(3 * kSinkBatchRows + 5);
  const auto sender = make_sender();
  exhaust(*sender);
  expect_all_sent();
  EXPECT_EQ(to_.sends, 4);
}

TEST_F(SenderTest, ANewSenderGoesOnAtTheWatermark) {
  run_.add(100);
  exhaust(*make_sender());
  run_.add(100);
  exhaust(*make_sender());
  expect_all_sent();
}

TEST_F(SenderTest, RowsThatTheStoreMergesLaterAreNotSentTwice) {
  for (int i = 0; i < 30; ++i) {
    run_.add(10);
    exhaust(*make_sender());
  }
  ASSERT_THAT(run_.store->write(store::Commit{.ended = {1}}, false), IsOk());
  exhaust(*make_sender());
  expect_all_sent();
}

TEST_F(SenderTest, AFailingSinkIsTriedAgainLaterAndLater) {
  run_.add(10);
  to_.failures = 12;
  const auto sender = make_sender();
  int64_t longest = 0;
  while (to_.failures > 0) {
    const int64_t before = clock_.now_ms;
    const int64_t next = sender->step();
    ASSERT_GT(next, before);
    EXPECT_EQ(sender->status().state, "retrying");
    EXPECT_EQ(sender->status().last_error, "not now");
    EXPECT_FALSE(sender->is_idle());
    longest = std::max(longest, next - before);
    EXPECT_LE(next - before, kSinkRetryMaxMs * 3 / 2);
    EXPECT_EQ(sender->step(), next) << "not earlier";
    clock_.now_ms = next;
  }
  EXPECT_GE(longest, kSinkRetryMaxMs / 2);
  exhaust(*sender);
  expect_all_sent();
}

// A day, by the injected clock, in which the run goes on.
TEST_F(SenderTest, ANetworkThatIsGoneForADayCostsATryAMinuteAndNoRow) {
  constexpr int64_t kDayMs = 24 * 60 * 60 * 1000;
  run_.add(10);
  to_.failures = std::numeric_limits<int>::max();
  const auto sender = make_sender();
  const int64_t end = clock_.now_ms + kDayMs;
  while (clock_.now_ms < end) {
    clock_.now_ms = std::max(clock_.now_ms, sender->step());
    run_.add(1);
    sender->wake();
  }
  EXPECT_LT(to_.sends, 2 * kDayMs / kSinkRetryMaxMs + 20);
  EXPECT_GT(to_.sends, kDayMs / (2 * kSinkRetryMaxMs));
  EXPECT_TRUE(to_.rows.empty());
  to_.failures = 0;
  const int64_t back = clock_.now_ms;
  while (to_.rows.empty()) clock_.now_ms = std::max(clock_.now_ms, sender->step());
  EXPECT_LE(clock_.now_ms - back, kSinkRetryMaxMs * 3 / 2);
  exhaust(*sender);
  expect_all_sent();
  EXPECT_EQ(sender->status().left_out_rows, 0u);
}

TEST_F(SenderTest, TheOtherSidesWishToWaitIsHeard) {
  run_.add(10);
  to_.failures = 1;
  to_.retry_after_ms = 1'000'000;
  const auto sender = make_sender();
  EXPECT_EQ(sender->step(), clock_.now_ms + 1'000'000);
}

TEST_F(SenderTest, ASinkThatCannotBeOpenedIsTriedAgain) {
  run_.add(10);
  to_.open_failures = 3;
  exhaust(*make_sender());
  expect_all_sent();
}

TEST_F(SenderTest, ARefusalIsFinal) {
  run_.add(10);
  to_.is_refusing = true;
  const auto sender = make_sender();
  EXPECT_EQ(sender->step(), kNever);
  sender->wake();
  EXPECT_EQ(sender->step(), kNever);
  EXPECT_TRUE(sender->is_idle());
  EXPECT_EQ(sender->status().state, "refused");
  EXPECT_EQ(to_.sends, 1);
}

TEST_F(SenderTest, ABatchThatIsUnderWayIsAskedForOnlyWhenItIsReady) {
  run_.add(10);
  to_.is_hanging = true;
  const auto sender = make_sender();
  EXPECT_EQ(sender->step(), kNever);
  sender->wake();
  EXPECT_EQ(sender->step(), kNever);
  EXPECT_FALSE(sender->is_idle());
  to_.is_hanging = false;
  exhaust(*sender);
  expect_all_sent();
}

TEST_F(SenderTest, ABatchThatIsTooLargeIsHalvedUntilItIsTaken) {
  run_.add(1000);
  to_.batch_max = 77;
  const auto sender = make_sender();
  exhaust(*sender);
  expect_all_sent();
  EXPECT_EQ(sender->status().left_out_rows, 0u);
}

TEST_F(SenderTest, OnlyTheRowsThatAreNotTakenAreLeftOutAndCounted) {
  run_.add(1000);
  to_.bad_rows = {0, 500, 501, 999};
  exhaust(*make_sender());
  const auto sender = make_sender();
  exhaust(*sender);
  EXPECT_EQ(to_.rows.size(), 996u);
  EXPECT_TRUE(std::is_sorted(to_.rows.begin(), to_.rows.end()));
  EXPECT_EQ(sender->status().sent_rows, 996u);
  EXPECT_EQ(run_.store->sink_state("mem://u@x")->left_out, 4u);
}

TEST_F(SenderTest, RowsThatCannotBeReadAreCounted) {
  run_.add(2 * kSinkBatchRows);
  to_.unreadable = {3, 5, kSinkBatchRows + 1};
  to_.failures = 2;
  const auto sender = make_sender();
  exhaust(*sender);
  EXPECT_EQ(to_.rows.size(), 2 * kSinkBatchRows - 3);
  EXPECT_EQ(sender->status().sent_rows, 2 * kSinkBatchRows - 3);
  EXPECT_EQ(sender->status().left_out_rows, 3u);
  EXPECT_THAT(sender->status().last_error, HasSubstr("3 left out"));
}

// A run whose sink is away is closed, and what was learnt of the sink is not forgotten.
TEST_F(SenderTest, TheNextSenderOfARunKnowsHowMuchAtATimeIsTaken) {
  run_.add(1000);
  to_.batch_max = 77;
  auto sender = make_sender();
  while (to_.sends < 4) clock_.now_ms = std::max(clock_.now_ms, sender->step());
  to_.failures = 1;
  sender->step();
  ASSERT_TRUE(sender->stuck_until_ms());
  const Sender::Memory memory = sender->memory();
  EXPECT_EQ(memory.rows_max, 62u);
  sender = make_sender();
  sender->recall(memory);
  EXPECT_EQ(sender->status().state, "retrying");
  EXPECT_EQ(sender->status().last_error, "not now");
  EXPECT_FALSE(sender->stuck_until_ms()) << "it has not tried yet";
  const int sends = to_.sends;
  sender->step();
  EXPECT_EQ(to_.sends, sends + 1);
  EXPECT_EQ(to_.rows.size(), 62u);
}

TEST_F(SenderTest, ASinkThatTakesNoRowAtAllIsRefused) {
  run_.add(1000);
  for (uint64_t row = 0; row < 1000; ++row) to_.bad_rows.insert(row);
  const auto sender = make_sender();
  exhaust(*sender);
  EXPECT_TRUE(sender->is_refused());
  EXPECT_THAT(sender->status().last_error, HasSubstr("no row at all"));
  EXPECT_EQ(sender->status().left_out_rows, static_cast<uint64_t>(kSinkLeftOutMax));
}

TEST_F(SenderTest, AnyFailuresAndRestartsSendEveryRowOnce) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  auto sender = make_sender();
  for (int i = 0; i < 300; ++i) {
    if (random.one_in(3)) run_.add(random.between(1, 500));
    if (random.one_in(5)) to_.failures = static_cast<int>(random.below(3));
    if (random.one_in(10)) sender = make_sender();
    sender->wake();
    clock_.now_ms += static_cast<int64_t>(random.below(2000));
    sender->step();
  }
  to_.failures = 0;
  sender->wake();
  exhaust(*sender);
  expect_all_sent();
}

}  // namespace
}  // namespace ringlog::service
