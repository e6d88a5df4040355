// The store thread: nothing is given back or answered before the write returned, and a disk that
// fails is tried again.

#include "daemon/writer.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "../store/faulty_env.h"
#include "daemon/limits.h"
#include "daemon_fixture.h"
#include "store/reader.h"
#include "watchdog.h"

namespace ringlog::service {
namespace {

using ::testing::HasSubstr;

class WriterTest : public ::testing::Test {
 protected:
  explicit WriterTest(bool is_synced = false) : thread_([this] { writer_.run(); }) {
    auto store = store::Store::open(dir_.file("run"), {.env = &env_});
    EXPECT_THAT(store, IsOk());
    store::RunMeta meta;
    meta.run_id = "run";
    meta.is_synced = is_synced;
    stream_ =
        std::make_shared<Stream>(RunInfo{"run", "", "", dir_.file("run")}, std::move(*store), meta,
                                 std::vector<store::ProducerState>{}, std::vector<store::KeySet>{},
                                 large_, clock_, IntakeEvents{});
    process_ = join();
  }
  ~WriterTest() override {
    env_.set_unlimited();
    writer_.stop();
    thread_.join();
  }

  std::unique_ptr<Producer> join() {
    ProducerSpec one;
    one.rank = -1;
    auto state = stream_->board.join(one, {}, "", 1);
    EXPECT_THAT(state, IsOk());
    shm::SegmentSpec spec;
    spec.run_id = "run";
    spec.project = "p";
    spec.root = "/";
    spec.producer_id = state->producer;
    auto created = shm::create_segment({dir_.path()}, spec);
    EXPECT_THAT(created, IsOk());
    auto other = shm::duplicate(created->fd.get());
    EXPECT_THAT(other, IsOk());
    auto port = open_port(std::move(created->fd), created->path, *state);
    EXPECT_THAT(port, IsOk());
    stream_->intake.add(*port, {});
    auto process = std::make_unique<Producer>(std::move(*other));
    process->register_keys(0, 64, {"a"});
    return process;
  }
  // Drains and submits; the future is ready when the batch came back.
  std::future<void> submit() {
    stream_->intake.turn(scratch_);
    auto batch = stream_->intake.take_due(clock_.monotonic_ms() + kBatchAgeMs);
    EXPECT_TRUE(batch);
    stored_ = std::promise<void>();
    writer_.submit(stream_, std::move(batch));
    return stored_.get_future();
  }
  // Until the store thread has done everything it was given.
  void catch_up() {
    std::promise<void> done;
    writer_.post([&done] { done.set_value(); });
    done.get_future().wait();
  }
  uint64_t head() { return process_->segment().ring_consumer(0).head.load(); }

  const test::Watchdog watchdog_;
  test::TempDir dir_;
  store::FaultyEnv env_;
  SystemClock clock_;
  LargeReplies large_;
  Network network_{clock_};
  FileKeeper files_{clock_, [](const auto&, uint32_t, const auto&) {}};
  std::promise<void> stored_;
  Writer writer_{clock_, large_, network_, files_,
                 [this](std::shared_ptr<Stream> stream, std::unique_ptr<Batch> batch) {
                   stream->intake.confirm(std::move(batch));
                   stored_.set_value();
                 }};
  std::shared_ptr<Stream> stream_;
  std::unique_ptr<Producer> process_;
  Scratch scratch_;
  std::thread thread_;
};

TEST_F(WriterTest, RoomIsGivenBackAndProgressPublished) {
  process_->log(0, 64, {1});
  process_->log(0, 64, {2});
  const auto claim = process_->ask(0, record::RequestKind::kFlush, Durability::kSynced);
  submit().wait();
  EXPECT_EQ(head(), process_->ring(0).position());
  EXPECT_EQ(process_->segment().service().stored_rows.load(), 2u);
  EXPECT_EQ(process_->segment().service().synced_rows.load(), 2u);
  EXPECT_EQ(process_->state_of(claim), shm::SlotState::kDone);
}

class SyncedWriterTest : public WriterTest {
 protected:
  SyncedWriterTest() : WriterTest(true) {}
};

TEST_F(SyncedWriterTest, EveryCommitIsSynced) {
  process_->log(0, 64, {1});
  submit().wait();
  EXPECT_EQ(process_->segment().service().synced_rows.load(), 1u);
}

TEST_F(WriterTest, OtherCommitsAreSyncedLater) {
  submit().wait();
  process_->log(0, 64, {1});
  submit().wait();
  EXPECT_EQ(process_->segment().service().stored_rows.load(), 1u);
  EXPECT_EQ(process_->segment().service().synced_rows.load(), 0u);
}

TEST_F(WriterTest, AFullDiskKeepsEverythingUntilThereIsRoom) {
  submit().wait();
  const uint64_t before = head();
  process_->log(0, 64, {1});
  const auto claim = process_->ask(0, record::RequestKind::kFlush);
  env_.set_room(0);
  auto stored = submit();
  catch_up();
  EXPECT_THAT(stream_->board.store_error(), HasSubstr("No space left"));
  EXPECT_EQ(head(), before);
  EXPECT_EQ(process_->state_of(claim), shm::SlotState::kRequested);
  env_.set_unlimited();
  stored.wait();
  EXPECT_EQ(stream_->board.store_error(), "");
  EXPECT_EQ(head(), process_->ring(0).position());
  EXPECT_EQ(process_->state_of(claim), shm::SlotState::kDone);
  auto reader = store::RunReader::open(dir_.file("run"));
  ASSERT_THAT(reader, IsOk());
  auto rows = (*reader)->row_count();
  ASSERT_THAT(rows, IsOk());
  EXPECT_EQ(*rows, 1u);
}

// A mistake of ours in the rows of one process costs those rows, and they are counted as missing.
TEST_F(WriterTest, WhatCannotBeStoredOfOneProcessCostsNobodyElse) {
  const auto other = join();
  process_->log(0, 64, {1});
  process_->log(0, 64, {2});
  other->log(0, 64, {3});
  stream_->intake.turn(scratch_);
  auto batch = stream_->intake.take_due(clock_.monotonic_ms() + kBatchAgeMs);
  ASSERT_TRUE(batch);
  for (store::RowBlock& block : batch->commit.blocks) {
    if (block.producer == 1) std::swap(block.seq[0], block.seq[1]);
  }
  stored_ = std::promise<void>();
  writer_.submit(stream_, std::move(batch));
  stored_.get_future().wait();
  EXPECT_EQ(process_->segment().service().stored_rows.load(), 0u);
  EXPECT_EQ(other->segment().service().stored_rows.load(), 1u);
  process_->log(0, 64, {4});
  submit().wait();
  EXPECT_EQ(process_->segment().service().stored_rows.load(), 1u);
  EXPECT_EQ(head(), process_->ring(0).position());
  auto reader = store::RunReader::open(dir_.file("run"));
  ASSERT_THAT(reader, IsOk());
  auto ledger = (*reader)->ledger();
  ASSERT_THAT(ledger, IsOk());
  EXPECT_EQ(ledger->at(0).stored, 1u);
  EXPECT_EQ(ledger->at(0).missing, 2u);
  EXPECT_EQ(ledger->at(0).producer.rings[0].stored, 1u);
  EXPECT_EQ(ledger->at(0).producer.rings[0].missing, 2u);
  EXPECT_EQ(ledger->at(1).stored, 1u);
  EXPECT_TRUE(ledger->at(1).ok());
}

TEST_F(WriterTest, ABatchThatCanNeverBeStoredDoesNotStopTheRun) {
  stream_->intake.turn(scratch_);
  auto batch = stream_->intake.take_due(clock_.monotonic_ms() + kBatchAgeMs);
  ASSERT_TRUE(batch);
  // Rows of a key set that nobody has described.
  store::RowBlock block;
  block.producer = 1;
  block.key_set = 999;
  block.add_row(0, 0, 0, {});
  batch->commit.blocks.push_back(block);
  stored_ = std::promise<void>();
  writer_.submit(stream_, std::move(batch));
  stored_.get_future().wait();
  process_->log(0, 64, {1});
  submit().wait();
  EXPECT_EQ(head(), process_->ring(0).position());
}

}  // namespace
}  // namespace ringlog::service
