// The Intake: ends of producers whose segment is not there.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <utility>

#include "daemon/intake.h"
#include "intake_fixture.h"

namespace ringlog::service {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(IntakeTest, AProducerWithoutASegmentIsEndedToo) {
  store::ProducerState lost;
  lost.producer = 9;
  lost.state = "running";
  lost.segment = "gone";
  board_.adopt(lost);
  intake_->end_without_segment(lost, {});
  turn_and_store();
  EXPECT_EQ(last_.producers.at(0).state, "crashed");
  EXPECT_EQ(board_.producer(9)->state, "crashed");
  EXPECT_THAT(last_.gone, IsEmpty()) << "its segment may still be found";
  intake_->forget_blobs(9);
  turn_and_store();
  EXPECT_THAT(last_.gone, ElementsAre(9u));
}

// That a run was destroyed says less than how its process then ended.
TEST_F(IntakeTest, AnImpliedEndYieldsToAKnownOneAlsoWithoutASegment) {
  store::ProducerState lost;
  lost.producer = 9;
  lost.state = "running";
  lost.said_end = store::SaidEnd{0, 0, true};
  for (const auto& [facts, state] :
       {std::pair(EndFacts{}, "finished"), std::pair(EndFacts{.exit_word = 3}, "failed"),
        std::pair(EndFacts{.kernel = ExitInfo{0, SIGKILL}}, "crashed")}) {
    board_.adopt(lost);
    intake_->end_without_segment(lost, facts);
    turn_and_store();
    EXPECT_EQ(last_.producers.at(0).state, state);
  }
}

}  // namespace
}  // namespace ringlog::service
