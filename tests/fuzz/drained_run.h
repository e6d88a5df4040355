#pragma once
// A run of two processes as the service drains it, with everything that the store would keep.
//
// The caller's thread plays the drain and the store thread.  Process 1 may do anything; of process
// 2 every row is expected.  Checks what holds whatever process 1 does.

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/intake.h"
#include "daemon/limits.h"
#include "daemon/recovery.h"
#include "daemon/reply.h"
#include "record/encode.h"
#include "record/message.h"
#include "schema/record.capnp.h"
#include "store/storable.h"
#include "tests/fuzz/segment_file.h"
#include "tests/record/record_reader.h"

namespace ringlog::fuzz {

class DrainedRun {
 public:
  static constexpr uint32_t kBad = 1;
  static constexpr uint32_t kGood = 2;

  // Opens both files; process 1 may be refused.
  DrainedRun(SegmentFile& bad, SegmentFile& good) : files_{&bad, &good} {
    for (const uint32_t producer : {kBad, kGood}) states_[producer].producer = producer;
    for (auto& [producer, state] : states_) state.state = "running";
    restart();
    require(ports_[1] != nullptr, "the healthy process is taken in");
  }

  // A new service goes on where the store ends.
  void restart() {
    std::vector<store::ProducerState> known;
    for (const auto& [producer, state] : states_) known.push_back(state);
    intake_.reset();
    board_ = std::make_unique<service::RunBoard>(store::RunMeta{}, known);
    service::IntakeEvents events;
    events.settled = [this](uint32_t producer) { is_settled_[producer - 1] = true; };
    intake_ =
        std::make_unique<service::Intake>(RunInfo{"run", "run", "project", "/nowhere"}, *board_,
                                          key_sets_, fetch_blob, large_, clock_, events);
    for (size_t i = 0; i < files_.size(); ++i) open(i);
  }
  bool has_bad() const { return ports_[0] != nullptr; }
  uint64_t head(uint32_t producer, uint32_t ring) const {
    const auto& rings = states_.at(producer).rings;
    return ring < rings.size() ? rings[ring].position : 0;
  }

  void turn() {
    intake_->turn(scratch_);
    clock_.now_ms += service::kBatchAgeMs;
    if (auto batch = intake_->take_due(clock_.now_ms)) store(std::move(batch));
  }
  void end(uint32_t producer) { intake_->end(producer, {.kernel = service::ExitInfo{0, 9}}); }
  void retire(uint32_t producer) { intake_->retire(producer); }

  bool is_settled(uint32_t producer) const { return is_settled_[producer - 1]; }
  const store::ProducerState& state(uint32_t producer) const { return states_.at(producer); }
  // Rows of process 2 that the store has.
  uint64_t good_rows() const { return good_rows_; }

 private:
  struct Clock final : service::Clock {
    int64_t monotonic_ms() const override { return now_ms; }
    int64_t realtime_ns() const override { return now_ms * 1'000'000; }
    int64_t now_ms = 1'000'000;
  };

  static Result<std::string> fetch_blob(store::BlobId id) {
    if (id.id != 1) return Error{Code::kNotFound, "no such blob"};
    const std::array items = {Item{"large", 1.0}};
    const record::Words words = record::encode_config(items, 1);
    return std::string(reinterpret_cast<const char*>(words.data()), words.size() * 8);
  }

  void open(size_t index) {
    store::ProducerState& state = states_[static_cast<uint32_t>(index + 1)];
    auto port = service::open_port(files_[index]->open(), "", state);
    ports_[index] = port ? *port : nullptr;
    if (!port) {
      const Code code = port.error().code;
      return require(code == Code::kCorrupt || code == Code::kVersion || code == Code::kIo,
                     "a foreign segment is refused with a reason");
    }
    service::fail_consumed_requests(*ports_[index]->segment, state.rings);
    intake_->add(*port, {});
  }

  // What the store thread does when a write returned.
  void store(std::unique_ptr<service::Batch> batch) {
    for (const store::KeySet& keys : batch->commit.key_sets) key_sets_.push_back(keys);
    for (const store::RowBlock& block : batch->commit.blocks) check_block(block);
    for (const store::RecordEntry& record : batch->commit.records) check_record(record);
    for (const store::ProducerState& state : batch->commit.producers) check_state(state);
    for (const service::Progress& progress : batch->progress) {
      for (const auto& [ring, position] : progress.positions) {
        progress.port->readers[ring].give_back(position);
      }
    }
    for (const service::Answer& answer : batch->answers) {
      service::deliver(*answer.port, answer.request, service::flush_reply({}), large_);
    }
    intake_->confirm(std::move(batch));
  }

  void check_block(const store::RowBlock& block) {
    require(block.cells.size() == block.rows() * block.number_count, "rows have their cells");
    require(block.byte_ends.size() == block.rows() * block.byte_count, "rows have their texts");
    const auto keys = std::find_if(key_sets_.begin(), key_sets_.end(),
                                   [&](const auto& known) { return known.id == block.key_set; });
    require(keys != key_sets_.end() && store::check_block(block, *keys), "rows can be stored");
    rows_[block.lane()] += block.rows();
    if (block.producer != kGood) return;
    for (size_t row = 0; row < block.rows(); ++row, ++good_rows_) {
      require(block.seq[row] == good_rows_ && block.step[row] == good_rows_ * 3 &&
                  block.cells[row] == good_rows_ * 7,
              "rows of the healthy process are bit-exact");
    }
  }
  static void check_record(const store::RecordEntry& record) {
    require(record.producer == kBad, "the healthy process wrote rows only");
    require(static_cast<bool>(store::stored_record(record)), "what is kept can be stored");
    const Status read = record::try_read([&] {
      record::MessageView view(std::as_bytes(std::span(record.message)));
      record::RecordReader().read(view.root<schema::Record>());
    });
    require(static_cast<bool>(read), "what is kept can be read");
  }
  void check_state(const store::ProducerState& state) {
    const auto again = store::from_bytes<store::ProducerState>(store::to_bytes(state));
    require(again && *again == state, "a state can be stored");
    const store::ProducerState& before = states_[state.producer];
    for (size_t ring = 0; ring < state.rings.size(); ++ring) {
      const store::RingState& now = state.rings[ring];
      require(now.stored == rows_[{state.producer, static_cast<uint16_t>(ring)}],
              "as many rows as are counted");
      if (state.producer == kGood) require(now.poisoned.empty(), "only the bad ring is poisoned");
      if (ring >= before.rings.size()) continue;
      require(now.position >= before.rings[ring].position, "positions never go back");
      require(before.rings[ring].poisoned.empty() || !now.poisoned.empty(), "poison stays");
    }
    states_[state.producer] = state;
  }

  const std::array<SegmentFile*, 2> files_;
  Clock clock_;
  service::LargeReplies large_;
  service::Scratch scratch_;
  std::unique_ptr<service::RunBoard> board_;
  std::unique_ptr<service::Intake> intake_;
  std::array<std::shared_ptr<service::Port>, 2> ports_;
  std::array<bool, 2> is_settled_{};
  // What the store has.
  std::map<uint32_t, store::ProducerState> states_;
  std::vector<store::KeySet> key_sets_;
  std::map<store::LaneId, uint64_t> rows_;
  uint64_t good_rows_ = 0;
};

}  // namespace ringlog::fuzz
