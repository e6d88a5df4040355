// The Intake: what waits, for how long, and what does not.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "daemon/intake.h"
#include "daemon/limits.h"
#include "intake_fixture.h"

namespace ringlog::service {
namespace {

class IntakeWaitsTest : public IntakeTest {
 protected:
  // A service that looks all the time; the times between its tries of the one ring.
  template <typename Tries>
  std::vector<int64_t> times_between(Tries tries, size_t count) {
    std::vector<int64_t> times;
    int64_t last = 0;
    for (int seen = tries(); times.size() <= count; ++clock_.now_ms) {
      turn();
      if (tries() == seen) continue;
      EXPECT_EQ(tries(), seen + 1) << "once in a turn";
      seen = tries();
      times.push_back(clock_.now_ms - std::exchange(last, clock_.now_ms));
    }
    times.erase(times.begin());
    return times;
  }
};

TEST_F(IntakeWaitsTest, ALargeRecordThatCannotBeReadIsAskedForLessAndLessOften) {
  const auto process = join(0);
  turn_and_store();
  process->register_keys(0, 64, {"a"});
  process->register_keys(1, 64, {"a"});
  process->write(0, make_record(record::encode_blob(5, 8, 1), process->ring(0).take_seq(),
                                shm::kFlagRow | shm::kFlagBlob));
  while (process->log(0, 64, {1})) {
  }
  EXPECT_EQ(times_between([this] { return fetches_; }, 6),
            (std::vector<int64_t>{100, 200, 400, 800, 1000, 1000}));
  EXPECT_FALSE(intake_->is_pressed()) << "the service sleeps, though the ring is full";
  process->log(1, 64, {1});
  turn_and_store();
  EXPECT_EQ(rows_, 1u) << "other rings are read meanwhile";
  EXPECT_TRUE(poisoned_.empty());
}

TEST_F(IntakeWaitsTest, ASegmentThatCannotBeReadIsNotGivenUp) {
  const auto process = join(0);
  turn_and_store();
  process->register_keys(0, 64, {"a"});
  for (int i = 0; i < 10; ++i) process->log(0, 64, {1});
  const int fd = ports_[0]->segment->fd();
  auto segment = shm::duplicate(fd);
  ASSERT_THAT(segment, IsOk());
  const auto folder = shm::open_file("/", O_RDONLY | O_DIRECTORY);
  ASSERT_THAT(folder, IsOk());
  ASSERT_EQ(::dup2(folder->get(), fd), fd);  // pread(2) fails
  turn_and_store();
  turn_and_store();
  EXPECT_TRUE(poisoned_.empty());
  EXPECT_EQ(state_of(0).rings[0].poisoned, "");
  ASSERT_EQ(::dup2(segment->get(), fd), fd);
  clock_.now_ms += kRingRetryMaxMs;
  turn_and_store();
  EXPECT_EQ(rows_, 10u);
}

TEST_F(IntakeWaitsTest, ABarrierDoesNotWaitForASegmentThatIsGone) {
  const auto process = join(0);
  process->register_keys(0, 64, {"a"});
  process->finish_record(0, 0);
  process->ask(0, record::RequestKind::kFinish);
  turn_and_store();
  ASSERT_EQ(settled_, std::vector<uint32_t>{1});
  intake_->retire(1);
  turn();
  clock_.now_ms += kBatchAgeMs;
  auto last = due();
  ASSERT_TRUE(last);
  ASSERT_TRUE(last->progress.at(0).is_last);
  process->log(0, 64, {1});  // too late
  bool is_done = false;
  intake_->barrier([&] { is_done = true; });
  store(std::move(last));
  turn_and_store();
  EXPECT_EQ(retired_, std::vector<uint32_t>{1});
  EXPECT_TRUE(is_done);
}

TEST_F(IntakeWaitsTest, AFileThatIsSavedAfterTheEndIsSeenToAndThenTheSegmentGoes) {
  const auto process = join(0);
  process->finish_record(0, 0);
  process->ask(0, record::RequestKind::kFinish);
  turn_and_store();
  ASSERT_EQ(settled_, std::vector<uint32_t>{1});
  record::FileFacts file;
  file.name = "late.txt";
  file.source = "/late.txt";
  file.policy = SavePolicy::kEnd;
  process->write(0, make_record(record::encode_file(file, 1), process->ring(0).next_seq()));
  intake_->retire(1);
  turn_and_store();
  EXPECT_EQ(settled_, (std::vector<uint32_t>{1, 1})) << "so that somebody ends its files";
  EXPECT_TRUE(retired_.empty());
  intake_->release_files(1);
  turn_and_store();
  EXPECT_EQ(settled_, (std::vector<uint32_t>{1, 1}));
  EXPECT_EQ(retired_, std::vector<uint32_t>{1});
}

}  // namespace
}  // namespace ringlog::service
