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
