// Agreement: a step that every rank sees in time, whoever comes late.  The test plays the ranks.

#include "daemon/agreement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "result_matchers.h"
#include "shm/notice.h"
#include "shm/segment.h"
#include "temp_dir.h"

namespace ringlog::service {
namespace {

using test::IsOk;
using ::testing::ElementsAre;

class AgreementTest : public testing::Test {
 protected:
  // A rank; `step` is what it has told, counted from 1, 0: nothing.
  void add(uint64_t step) {
    shm::SegmentSpec spec;
    spec.run_id = "run";
    spec.project = "project";
    spec.root = "/";
    spec.producer_id = static_cast<uint32_t>(ports_.size() + 1);
    spec.first_ring_bytes = spec.later_ring_bytes = shm::kRingBytesMin;
    auto created = shm::create_segment({dir_.path()}, spec);
    ASSERT_THAT(created, IsOk());
    auto client = shm::ClientSegment::map(std::move(*shm::duplicate(created->fd.get())));
    ASSERT_THAT(client, IsOk());
    store::ProducerState state;
    state.producer = spec.producer_id;
    auto port = open_port(std::move(created->fd), created->path, state);
    ASSERT_THAT(port, IsOk());
    ports_.push_back(std::move(*port));
    ranks_.push_back(std::move(*client));
    tell(ranks_.size() - 1, step);
  }
  void tell(size_t rank, uint64_t step) { ranks_[rank]->producer().step.store(step); }
  uint64_t checkpoint(size_t rank) const { return ranks_[rank]->service().checkpoint_step.load(); }
  uint64_t stop(size_t rank) const { return ranks_[rank]->service().stop_step.load(); }

  test::TempDir dir_;
  Ports ports_;
  std::vector<std::unique_ptr<shm::ClientSegment>> ranks_;
};

TEST_F(AgreementTest, LiesAheadOfTheFurthestRank) {
  for (const uint64_t step : {11, 14, 12}) add(step);
  const Agreed agreed = agree(ports_, told_steps(ports_), 0, Wish::kCheckpoint);
  EXPECT_EQ(agreed.step, 13u + 2);
  EXPECT_EQ(agreed.ranks, 3u);
  EXPECT_EQ(agreed.asking, 3u);
  EXPECT_EQ(agreed.late, 0u);
  for (size_t rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(checkpoint(rank), agreed.step + 1);
    EXPECT_EQ(stop(rank), 0u);
  }
}

TEST_F(AgreementTest, FastRanksGetMoreRoom) {
  for (const uint64_t step : {100, 50}) add(step);
  const auto before = told_steps(ports_);
  tell(0, 1100);
  tell(1, 1000);
  EXPECT_EQ(agree(ports_, before, 0, Wish::kStop).step, 1099u + 2 * 1000);
  EXPECT_EQ(stop(1), 1099u + 2 * 1000 + 1);
}

TEST_F(AgreementTest, RanksThatDoNotAskDoNotCount) {
  for (const uint64_t step : {0, 7}) add(step);
  const Agreed agreed = agree(ports_, {0, 0}, 20, Wish::kCheckpoint);
  EXPECT_EQ(agreed.step, 22u) << "rows say that somebody is further";
  EXPECT_EQ(agreed.ranks, 2u);
  EXPECT_EQ(agreed.asking, 1u);
}

TEST_F(AgreementTest, StepsThatNobodyCanHaveDoNotOverflow) {
  for (const uint64_t step : {UINT64_MAX, UINT64_MAX - 1}) add(step);
  const Agreed agreed = agree(ports_, {1, 1}, 0, Wish::kCheckpoint);
  EXPECT_LT(agreed.step, UINT64_MAX / 2);
  EXPECT_EQ(agreed.late, 2u);
}

TEST_F(AgreementTest, WhoComesBeforeTheStepIsToldOfIt) {
  add(10);
  const Agreed agreed = agree(ports_, {10}, 0, Wish::kCheckpoint);
  add(0);
  join_agreement({ports_[0]}, *ports_[1]);
  EXPECT_EQ(checkpoint(1), agreed.step + 1);
}

TEST_F(AgreementTest, WhoComesAfterACheckpointDoesNotMakeItAgain) {
  add(10);
  const Agreed agreed = agree(ports_, {10}, 0, Wish::kCheckpoint);
  static_cast<void>(agree(ports_, {10}, 0, Wish::kStop));
  tell(0, agreed.step + 1);
  add(0);
  join_agreement({ports_[0]}, *ports_[1]);
  EXPECT_EQ(checkpoint(1), 0u);
  EXPECT_NE(stop(1), 0u) << "a stop stays";
}

TEST_F(AgreementTest, ASegmentThatAServiceFoundTellsTheOthers) {
  add(10);
  add(10);
  // The service died between its two stores.
  static_cast<void>(agree({ports_[0]}, {10}, 0, Wish::kCheckpoint));
  EXPECT_EQ(checkpoint(1), 0u);
  join_agreement({ports_[1]}, *ports_[0]);
  EXPECT_EQ(checkpoint(1), checkpoint(0));
}

TEST_F(AgreementTest, NoticesAreCutAtWholeCharactersAndSaidOnce) {
  add(0);
  ports_[0]->tell(std::string(503, 'x') + "\xc3\xa9");
  uint32_t seen = 0;
  EXPECT_EQ(shm::read_notice(ranks_[0]->service().notice, seen), std::string(503, 'x'));
  EXPECT_EQ(shm::read_notice(ranks_[0]->service().notice, seen), std::nullopt);
  ports_[0]->tell("next");
  EXPECT_EQ(shm::read_notice(ranks_[0]->service().notice, seen), "next");
}

}  // namespace
}  // namespace ringlog::service
