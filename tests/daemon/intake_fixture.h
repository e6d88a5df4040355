#pragma once
// An Intake over rings of real segments.  The test plays the processes, the drain thread and the
// store thread.

#include "daemon/intake.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "daemon/limits.h"
#include "daemon/reply.h"
#include "daemon_fixture.h"

namespace ringlog::service {

class IntakeTest : public ::testing::Test {
 protected:
  IntakeTest() {
    IntakeEvents events;
    events.settled = [this](uint32_t producer) { settled_.push_back(producer); };
    events.retired = [this](uint32_t producer) { retired_.push_back(producer); };
    events.poisoned = [this](const std::shared_ptr<Port>&, uint32_t ring, uint64_t) {
      poisoned_.push_back(ring);
    };
    intake_ = std::make_unique<Intake>(
        RunInfo{"id", "name", "project", "/dir"}, board_, std::vector<store::KeySet>{},
        [this](store::BlobId) -> Result<std::string> {
          ++fetches_;
          return Error{Code::kIo, "the disk does not answer"};
        },
        large_, clock_, events);
  }

  // A process joins; its first batch is stored.
  std::unique_ptr<Producer> join(int32_t rank) {
    ProducerSpec spec;
    spec.rank = rank;
    auto state = board_.join(spec, {}, "host", 1);
    EXPECT_THAT(state, IsOk());
    shm::SegmentSpec segment;
    segment.run_id = "id";
    segment.project = "project";
    segment.root = "/";
    segment.producer_id = state->producer;
    segment.first_ring_bytes = segment.later_ring_bytes = shm::kRingBytesMin;
    auto created = shm::create_segment({dir_.path()}, segment);
    EXPECT_THAT(created, IsOk());
    auto other = shm::duplicate(created->fd.get());
    EXPECT_THAT(other, IsOk());
    auto port = open_port(std::move(created->fd), created->path, *state);
    EXPECT_THAT(port, IsOk());
    ports_.push_back(*port);
    intake_->add(*port, [this] { ++joined_; });
    return std::make_unique<Producer>(std::move(*other));
  }
  void turn() { intake_->turn(scratch_); }
  std::unique_ptr<Batch> due() { return intake_->take_due(clock_.now_ms); }
  // What the store thread does when a write returned.
  void store(std::unique_ptr<Batch> batch) {
    ASSERT_TRUE(batch);
    for (const Progress& progress : batch->progress) {
      for (const auto& [ring, position] : progress.positions) {
        progress.port->readers[ring].give_back(position);
      }
    }
    for (const Answer& answer : batch->answers) {
      deliver(*answer.port, answer.request, flush_reply({}), large_);
    }
    for (const store::RowBlock& block : batch->commit.blocks) rows_ += block.rows();
    last_ = std::move(batch->commit);
    intake_->confirm(std::move(batch));
  }
  void turn_and_store() {
    turn();
    clock_.now_ms += kBatchAgeMs;
    if (auto batch = due()) store(std::move(batch));
  }
  // The next service takes process 0 in again, as the store has it.
  std::unique_ptr<Intake> next_service(const store::ProducerState& stored,
                                       const store::KeySet& keys) {
    next_board_ = std::make_unique<RunBoard>(store::RunMeta{}, std::vector{stored});
    auto next = std::make_unique<Intake>(RunInfo{}, *next_board_, std::vector{keys}, nullptr,
                                         large_, clock_, IntakeEvents{});
    auto fd = shm::open_file(ports_[0]->path, O_RDWR);
    EXPECT_THAT(fd, IsOk());
    auto port = open_port(std::move(*fd), ports_[0]->path, stored);
    EXPECT_THAT(port, IsOk());
    next->add(*port, {});
    return next;
  }
  // What its first batch says.
  store::Commit drain(Intake& next) {
    next.turn(scratch_);
    clock_.now_ms += kBatchAgeMs;
    auto batch = next.take_due(clock_.now_ms);
    EXPECT_TRUE(batch);
    return batch ? std::move(batch->commit) : store::Commit{};
  }
  const store::ProducerState& state_of(size_t port) const { return ports_[port]->state; }

  test::TempDir dir_;
  FakeClock clock_;
  LargeReplies large_;
  RunBoard board_{store::RunMeta{}, {}};
  std::unique_ptr<Intake> intake_;
  std::unique_ptr<RunBoard> next_board_;
  Scratch scratch_;
  std::vector<std::shared_ptr<Port>> ports_;
  std::vector<uint32_t> settled_;
  std::vector<uint32_t> retired_;
  std::vector<uint32_t> poisoned_;
  store::Commit last_;
  size_t rows_ = 0;
  int joined_ = 0;
  int fetches_ = 0;  // of large records, none of which can be read
};

}  // namespace ringlog::service
