// The Intake: rings of real segments, batches, barriers, requests and ends.  The test plays the
// processes, the drain thread and the store thread.

#include "daemon/intake.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <utility>

#include "daemon/recovery.h"
#include "intake_fixture.h"

namespace ringlog::service {
namespace {

using ::testing::HasSubstr;

TEST_F(IntakeTest, JoiningIsStoredAtOnce) {
  const auto process = join(0);
  turn();
  auto batch = due();
  ASSERT_TRUE(batch) << "without waiting for 50 ms";
  ASSERT_EQ(batch->commit.producers.size(), 1u);
  EXPECT_EQ(batch->commit.producers[0].state, "running");
  ASSERT_TRUE(batch->commit.meta);
  EXPECT_EQ(batch->commit.meta->state, "running");
  EXPECT_EQ(joined_, 0);
  store(std::move(batch));
  EXPECT_EQ(joined_, 1);
}

TEST_F(IntakeTest, SamplesOfTheMachineAreInExactlyOneBatch) {
  store::Stats stats;
  stats.names = {"cpu"};
  stats.times_ns = {5};
  stats.values = {1};
  EXPECT_TRUE(intake_->is_empty());
  intake_->add_stats(stats);
  EXPECT_FALSE(intake_->is_empty()) << "a run is not closed over them";
  EXPECT_FALSE(due()) << "nobody waits for them";
  clock_.now_ms += kBatchAgeMs;
  auto batch = due();
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->commit.stats, std::vector{stats});
  store(std::move(batch));
  EXPECT_TRUE(intake_->is_empty());
  intake_->add_stats({});
  EXPECT_TRUE(intake_->is_empty()) << "no samples";
}

TEST_F(IntakeTest, ABatchIsDueWhenItIsOldEnough) {
  const auto process = join(0);
  turn_and_store();
  process->register_keys(0, 64, {"a"});
  process->log(0, 64, {1});
  turn();
  EXPECT_FALSE(due());
  EXPECT_EQ(intake_->due_ms(), clock_.now_ms + kBatchAgeMs);
  clock_.now_ms += kBatchAgeMs - 1;
  EXPECT_FALSE(due());
  clock_.now_ms += 1;
  auto batch = due();
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->commit.blocks.at(0).rows(), 1u);
  EXPECT_EQ(batch->commit.producers.at(0).rings.at(0).position, process->ring(0).position());
}

TEST_F(IntakeTest, ABatchIsDueWhenARingIsHalfFull) {
  const auto process = join(0);
  turn_and_store();
  process->register_keys(0, 64, {"a"});
  while (process->ring(0).position() < process->ring(0).capacity() / 2) process->log(0, 64, {1});
  turn();
  EXPECT_TRUE(due());
}

TEST_F(IntakeTest, OneBatchIsAwayAtATimeAndRoomComesBackOnlyWhenItIsStored) {
  const auto process = join(0);
  turn_and_store();
  process->register_keys(0, 64, {"a"});
  size_t logged = 0;
  while (process->log(0, 64, {1})) ++logged;
  turn();
  auto first = due();
  ASSERT_TRUE(first);
  EXPECT_FALSE(process->write(0, make_record(record::encode_config({}, 1), 1)));
  turn();
  EXPECT_FALSE(due()) << "the first is not back yet";
  store(std::move(first));
  EXPECT_TRUE(process->log(0, 64, {1}));
  turn_and_store();
  EXPECT_EQ(rows_, logged + 1);
}

TEST_F(IntakeTest, AViolationPoisonsItsRingOnly) {
  const auto process = join(0);
  const auto other = join(1);
  for (const auto* p : {&process, &other}) {
    (*p)->register_keys(0, 64, {"a"});
    (*p)->register_keys(1, 64, {"b"});
    (*p)->log(0, 64, {1});
  }
  const uint64_t good = process->ring(0).position();
  process->write(0, make_row(99, 1, 1, 1, {1}));
  process->log(1, 64, {2});
  turn_and_store();
  process->log(0, 64, {3});
  process->log(1, 64, {3});
  other->log(0, 64, {3});
  turn_and_store();
  EXPECT_EQ(poisoned_, std::vector<uint32_t>{0});
  EXPECT_THAT(state_of(0).rings[0].poisoned, HasSubstr("kind 99"));
  EXPECT_EQ(state_of(0).rings[0].position, good);
  EXPECT_EQ(state_of(0).rings[0].stored, 1u);
  EXPECT_EQ(state_of(0).rings[1].stored, 2u);
  EXPECT_EQ(state_of(1).rings[0].stored, 2u);
  EXPECT_EQ(ports_[0]->segment->service().poisoned_rings.load(), 1u);
  EXPECT_FALSE(intake_->is_pressed());
}

TEST_F(IntakeTest, RequestsBehindAPoisonFailAndOthersAreAnswered) {
  const auto process = join(0);
  turn_and_store();
  const auto before = process->ask(0, record::RequestKind::kRunInfo);
  process->write(0, make_row(99, 0, 1, 1, {1}));
  const auto behind = process->ask(0, record::RequestKind::kFlush);
  const auto elsewhere = process->ask(1, record::RequestKind::kFlush);
  turn_and_store();
  turn_and_store();
  EXPECT_EQ(process->state_of(before), shm::SlotState::kDone);
  EXPECT_EQ(process->state_of(behind), shm::SlotState::kFailed);
  EXPECT_EQ(process->state_of(elsewhere), shm::SlotState::kDone);
  const auto later = process->ask(0, record::RequestKind::kFinish);
  turn();
  EXPECT_EQ(process->state_of(later), shm::SlotState::kFailed);
  auto next = next_service(state_of(0), {1, {{"a", store::ColumnType::kFloat64}}});
  const auto after_a_restart = process->ask(0, record::RequestKind::kFlush);
  next->turn(scratch_);
  EXPECT_EQ(process->state_of(after_a_restart), shm::SlotState::kFailed);
}

// What the process drops and counts from then on is known, and with it what stands in the ring.
TEST_F(IntakeTest, RowsBehindAPoisonAreMissingAsFarAsTheyWereCounted) {
  const auto process = join(0);
  process->register_keys(0, 64, {"a"});
  process->log(0, 64, {1});
  process->write(0, make_row(99, process->ring(0).take_seq(), 1, 1, {1}));
  turn_and_store();
  process->log(0, 64, {2});
  process->ring(0).take_seq();
  process->ring(0).count_drop();
  intake_->end(1, {.kernel = ExitInfo{0, 9}});
  turn_and_store();
  const store::RingState& ring = last_.producers.at(0).rings[0];
  EXPECT_EQ(ring.next_seq, 4u);
  EXPECT_EQ(ring.stored, 1u);
  EXPECT_EQ(ring.dropped, 1u);
  EXPECT_EQ(ring.missing, 2u);
}

TEST_F(IntakeTest, ImpossiblePositionsPoisonTheRing) {
  const auto process = join(0);
  process->segment().ring_producer(2).tail.store(uint64_t{1} << 40);
  process->segment().ring_producer(3).tail.store(13);
  process->register_keys(0, 64, {"a"});
  process->log(0, 64, {1});
  turn_and_store();
  EXPECT_EQ(poisoned_, (std::vector<uint32_t>{2, 3}));
  EXPECT_EQ(rows_, 1u);
}

// Found by segment_fuzzer: the end of the process waited for a tail that was there no more.
TEST_F(IntakeTest, ATailThatGoesBackHoldsUpNoEnd) {
  const auto process = join(0);
  turn_and_store();
  process->register_keys(0, 64, {"a"});
  intake_->end(1, {.kernel = ExitInfo{0, 9}});
  process->segment().ring_producer(0).tail.store(0);
  turn_and_store();
  EXPECT_THAT(state_of(0).rings[0].poisoned, HasSubstr("the tail went back from"));
  EXPECT_EQ(settled_, std::vector<uint32_t>{1});
}

TEST_F(IntakeTest, ATruncatedSegmentIsGivenUpAndOthersGoOn) {
  const auto process = join(0);
  const auto other = join(1);
  other->register_keys(0, 64, {"a"});
  turn_and_store();
  ASSERT_EQ(::ftruncate(ports_[0]->segment->fd(), 0), 0);
  other->log(0, 64, {1});
  turn_and_store();
  turn_and_store();
  EXPECT_THAT(state_of(0).rings[0].poisoned, HasSubstr("cut short"));
  EXPECT_EQ(rows_, 1u);
}

TEST_F(IntakeTest, FlushIsAnsweredWhenWhatWasBeforeItIsStored) {
  const auto process = join(0);
  process->register_keys(0, 64, {"a"});
  process->register_keys(1, 64, {"a"});
  turn_and_store();
  process->log(1, 64, {1});
  const auto claim = process->ask(0, record::RequestKind::kFlush, Durability::kSynced);
  turn();
  auto batch = due();
  ASSERT_TRUE(batch) << "a flush does not wait for 50 ms";
  EXPECT_TRUE(batch->is_synced);
  EXPECT_EQ(process->state_of(claim), shm::SlotState::kRequested);
  store(std::move(batch));
  EXPECT_EQ(process->state_of(claim), shm::SlotState::kDone);
  EXPECT_EQ(rows_, 1u);
}

TEST_F(IntakeTest, FlushOfNothingIsAnsweredAtOnce) {
  const auto process = join(0);
  turn_and_store();
  const auto claim = process->ask(0, record::RequestKind::kFlush);
  turn();
  EXPECT_EQ(process->state_of(claim), shm::SlotState::kDone);
}

TEST_F(IntakeTest, TheRunIsDescribedAtOnceAndNoReplyIsTooLarge) {
  const auto process = join(0);
  turn_and_store();
  const auto claim = process->ask(0, record::RequestKind::kRunInfo);
  turn();
  EXPECT_EQ(process->state_of(claim), shm::SlotState::kDone);
  EXPECT_FALSE(large_.fetch(ports_[0]->uuid, claim.slot, claim.word)) << "it fits the slot";
}

TEST_F(IntakeTest, RequestsNamingForeignSlotsAreIgnored) {
  const auto process = join(0);
  turn_and_store();
  process->write(
      0, make_record(record::encode_request(
                         {.kind = record::RequestKind::kRunInfo, .slot = 12345, .word = 1}, 1),
                     0, shm::kFlagRequest));
  turn_and_store();
  EXPECT_TRUE(poisoned_.empty());
}

TEST_F(IntakeTest, FinishSettlesAndTheSegmentStaysForOneMoreQuestion) {
  const auto process = join(0);
  process->register_keys(0, 64, {"a"});
  process->log(0, 64, {1});
  process->finish_record(0, 0);
  const auto first = process->ask(0, record::RequestKind::kFinish);
  turn_and_store();
  EXPECT_EQ(process->state_of(first), shm::SlotState::kDone);
  EXPECT_EQ(settled_, std::vector<uint32_t>{1});
  EXPECT_TRUE(retired_.empty());
  EXPECT_TRUE(last_.gone.empty()) << "a thread may still commit what it has handed over";
  EXPECT_EQ(last_.producers.at(0).state, "finished");
  EXPECT_EQ(last_.ended, std::vector<uint32_t>{1});
  EXPECT_EQ(board_.meta().state, "finished");
  const auto again = process->ask(0, record::RequestKind::kFinish);
  turn_and_store();
  EXPECT_EQ(process->state_of(again), shm::SlotState::kDone);
  intake_->retire(1);
  turn_and_store();
  EXPECT_EQ(retired_, std::vector<uint32_t>{1});
  EXPECT_TRUE(intake_->is_empty());
}

TEST_F(IntakeTest, ADeadProducerIsDrainedToItsTailsThenSettled) {
  const auto process = join(0);
  turn_and_store();
  process->register_keys(0, 64, {"a"});
  process->log(0, 64, {1});
  process->ring(0).take_seq();
  process->ring(0).count_drop();
  process->log(0, 64, {1});
  process->ring(0).take_seq();
  process->ring(0).count_drop();
  intake_->end(1, {.kernel = ExitInfo{0, 9}});
  turn_and_store();
  EXPECT_EQ(settled_, std::vector<uint32_t>{1});
  EXPECT_EQ(retired_, std::vector<uint32_t>{1});
  EXPECT_EQ(last_.gone, std::vector<uint32_t>{1}) << "large records that it never referred to";
  const store::ProducerState& state = last_.producers.at(0);
  EXPECT_EQ(state.state, "crashed");
  EXPECT_EQ(state.signal, 9);
  EXPECT_EQ(state.rings[0].stored, 2u);
  EXPECT_EQ(state.rings[0].dropped, 2u);
  EXPECT_EQ(state.rings[0].missing, 0u);
  EXPECT_EQ(state.rings[0].next_seq, 4u);
  EXPECT_EQ(board_.meta().state, "crashed");
}

// Cursors count attempts: of ten rows, of which four were dropped, six can have been sent.
TEST_F(IntakeTest, SentIsNeverMoreThanWhatWasSent) {
  const auto process = join(0);
  process->register_keys(0, 64, {"a"});
  for (int i = 0; i < 4; ++i) {
    process->ring(0).take_seq();
    process->ring(0).count_drop();
  }
  for (int i = 0; i < 6; ++i) process->log(0, 64, {1});
  turn_and_store();
  const auto sent_after = [&](uint64_t seq) {
    intake_->publish_sent({{{1, 0}, seq}}, 1);
    return process->segment().service().sent_rows.load();
  };
  EXPECT_EQ(sent_after(3), 0u);
  EXPECT_EQ(sent_after(6), 2u);
  process->ring(0).take_seq();
  process->ring(0).count_drop();
  turn_and_store();
  EXPECT_EQ(sent_after(6), 2u) << "what was sent stays sent";
  EXPECT_EQ(sent_after(11), 6u) << "exact once all are";
}

TEST_F(IntakeTest, RowsThatNobodyCountedAreMissing) {
  const auto process = join(0);
  process->register_keys(0, 64, {"a"});
  process->ring(0).take_seq();
  process->log(0, 64, {1});
  intake_->end(1, {.exit_word = 0});
  turn_and_store();
  EXPECT_EQ(last_.producers.at(0).rings[0].missing, 1u);
  EXPECT_EQ(last_.producers.at(0).state, "finished");
}

TEST_F(IntakeTest, ABarrierFiresWhenWhatIsCommittedNowIsStored) {
  bool empty = false;
  intake_->barrier([&] { empty = true; });
  turn();
  EXPECT_TRUE(empty) << "nothing to wait for";
  const auto process = join(0);
  process->register_keys(0, 64, {"a"});
  process->log(0, 64, {1});
  bool done = false;
  intake_->barrier([&] { done = true; });
  turn();
  auto batch = due();
  ASSERT_TRUE(batch);
  EXPECT_FALSE(done);
  store(std::move(batch));
  EXPECT_TRUE(done);
}

TEST_F(IntakeTest, ABarrierWaitsForTheBatchThatIsAway) {
  const auto process = join(0);
  process->register_keys(0, 64, {"a"});
  process->log(0, 64, {1});
  turn();
  auto batch = due();
  ASSERT_TRUE(batch);
  bool done = false;
  intake_->barrier([&] { done = true; });
  turn();
  EXPECT_FALSE(done);
  store(std::move(batch));
  turn();
  EXPECT_TRUE(done);
}

// A config or an alert for which a full ring had no room for too long.
TEST_F(IntakeTest, RecordsThatAProcessLostAreKnownToTheStore) {
  const auto process = join(0);
  turn_and_store();
  EXPECT_EQ(last_.producers.at(0).lost_records, 0u);
  process->segment().producer().lost_records.fetch_add(2);
  process->register_keys(0, 64, {"a"});
  turn_and_store();
  EXPECT_EQ(last_.producers.at(0).lost_records, 2u);
}

TEST_F(IntakeTest, ARestartGoesOnBehindWhatIsStored) {
  const auto process = join(0);
  process->register_keys(0, 64, {"a"});
  process->log(0, 64, {1});
  turn_and_store();
  const store::ProducerState stored = last_.producers.at(0);
  const store::KeySet keys{1, {{"a", store::ColumnType::kFloat64}}};
  const auto consumed = process->ask(0, record::RequestKind::kFlush);
  turn();  // the old service answers nothing and dies: nothing of this is stored
  process->log(0, 64, {2});

  auto next = next_service(stored, keys);
  const store::Commit commit = drain(*next);
  ASSERT_EQ(commit.blocks.size(), 1u);
  EXPECT_EQ(commit.blocks[0].seq, std::vector<uint64_t>{1});
  EXPECT_EQ(commit.producers.at(0).rings[0].stored, 2u);
  static_cast<void>(consumed);
}

// The service dies when it has stored the Finish record and not yet read the request behind it.
TEST_F(IntakeTest, AnExitCodeThatWasStoredCountsAfterARestart) {
  const auto process = join(0);
  process->finish_record(0, 3);
  turn_and_store();
  const store::ProducerState stored = last_.producers.at(0);
  EXPECT_EQ(stored.state, "running");
  auto next = next_service(stored, {1, {{"a", store::ColumnType::kFloat64}}});
  process->ask(0, record::RequestKind::kFinish);
  const store::ProducerState state = drain(*next).producers.at(0);
  EXPECT_EQ(state.state, "failed");
  EXPECT_EQ(state.exit_code, 3);
  // Or the segment is gone by then.
  intake_->end_without_segment(stored, {});
  const auto batch = due();
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->commit.producers.at(0).state, "failed");
  EXPECT_EQ(batch->commit.producers.at(0).exit_code, 3);
}

// What `coalesce` keeps while a ring is full was attempted before the service died and comes to the
// next one, with the numbers it had.
TEST_F(IntakeTest, RowsThatWereKeptWhileTheRingWasFullComeAfterARestart) {
  const auto process = join(0);
  process->register_keys(0, 64, {"a"});
  turn_and_store();
  while (process->log(0, 64, {1})) {
  }
  // The row that found no room is kept; then one that replaces it.
  process->ring(0).count_drop();
  const uint64_t kept = process->ring(0).take_seq();
  process->ring(0).count_drop();
  for (int i = 0; i < 3; ++i) turn_and_store();
  const store::ProducerState stored = last_.producers.at(0);
  EXPECT_EQ(stored.rings.at(0).dropped, 2u);

  auto next = next_service(stored, {1, {{"a", store::ColumnType::kFloat64}}});
  process->write(0, make_row(64, kept, kept, 1, {2}));
  process->ring(0).take_back_drop();
  process->log(0, 64, {3});
  const store::ProducerState state = drain(*next).producers.at(0);
  EXPECT_EQ(state.rings[0].poisoned, "");
  EXPECT_EQ(state.rings[0].stored, kept + 1);
  EXPECT_EQ(state.rings[0].dropped, 1u);
  EXPECT_EQ(state.rings[0].missing, 0u);
  EXPECT_EQ(state.rings[0].next_seq, kept + 2);
  EXPECT_EQ(state.rings[0].drained_seq, kept + 2);
}

TEST_F(IntakeTest, AStoreOfBeforeSaysOnlyHowManyRowsItHas) {
  const auto process = join(0);
  process->register_keys(0, 64, {"a"});
  for (int i = 0; i < 3; ++i) process->log(0, 64, {1});
  turn_and_store();
  store::ProducerState stored = last_.producers.at(0);
  EXPECT_EQ(std::exchange(stored.rings.at(0).drained_seq, 0), 3u);
  auto next = next_service(stored, {1, {{"a", store::ColumnType::kFloat64}}});
  process->log(0, 64, {2});
  process->write(0, make_row(64, 2, 2, 1, {2}));
  const store::ProducerState state = drain(*next).producers.at(0);
  EXPECT_EQ(state.rings[0].stored, 4u);
  EXPECT_THAT(state.rings[0].poisoned, HasSubstr("sequence number 2 after 4"));
}

TEST_F(IntakeTest, RequestsBeforeTheStoredPositionFailAfterARestart) {
  const auto process = join(0);
  const auto before = process->ask(0, record::RequestKind::kFlush, Durability::kSent);
  const uint64_t position = process->ring(0).position();
  const auto behind = process->ask(0, record::RequestKind::kFlush);
  auto uncommitted = process->mailbox().claim();
  ASSERT_THAT(uncommitted, IsOk());
  std::vector<store::RingState> rings(1);
  rings[0].position = position;
  fail_consumed_requests(*ports_[0]->segment, rings);
  EXPECT_EQ(process->state_of(before), shm::SlotState::kFailed);
  EXPECT_EQ(process->state_of(behind), shm::SlotState::kRequested);
  EXPECT_EQ(process->state_of(*uncommitted), shm::SlotState::kRequested);
}

}  // namespace
}  // namespace ringlog::service
