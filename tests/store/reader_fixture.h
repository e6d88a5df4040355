#pragma once
// A store whose rows the tests write one by one, and the reader that looks at it.

#include "store/reader.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "record/path.h"
#include "store_fixture.h"

namespace ringlog::store {

inline const KeySet kLoss{.id = 1, .columns = {{"loss", ColumnType::kFloat64}}};
inline const KeySet kEval{.id = 2,
                          .columns = {{record::join_path({"eval", "acc"}), ColumnType::kFloat64},
                                      {"epoch", ColumnType::kInt64},
                                      {"done", ColumnType::kBool},
                                      {"big", ColumnType::kUint64},
                                      {"note", ColumnType::kOther}}};

// A producer whose rows the tests write one by one.
struct Writer {
  Writer(uint32_t id, int32_t rank, int32_t attempt = 0, uint32_t worker = 0) {
    state.producer = id;
    state.rank = rank;
    state.attempt = attempt;
    state.worker = worker;
    state.state = "running";
    state.rings.resize(2);
  }

  void loss(Commit& commit, uint64_t step, double value, uint16_t ring = 0) {
    RowBlock block({state.producer, ring}, kLoss);
    const uint64_t cell = bits_of(value);
    block.add_row(next(ring), step, static_cast<int64_t>(step) * 1000, std::span(&cell, 1));
    commit.blocks.push_back(std::move(block));
  }
  void eval(Commit& commit, uint64_t step, double accuracy, int64_t epoch,
            const std::string& note) {
    RowBlock block({state.producer, 0}, kEval);
    const uint64_t cells[] = {bits_of(accuracy), static_cast<uint64_t>(epoch), 1, UINT64_MAX};
    const std::string text = text_value(note);
    const std::string_view bytes(text);
    block.add_row(next(0), step, static_cast<int64_t>(step) * 1000, cells, std::span(&bytes, 1));
    commit.blocks.push_back(std::move(block));
  }
  uint64_t next(uint16_t ring) {
    ++state.rings[ring].stored;
    return state.rings[ring].next_seq++;
  }

  ProducerState state;
};

class Reader : public ::testing::Test {
 protected:
  Reader() : store_(open_store(dir_.path())) {
    Commit commit;
    commit.key_sets = {kLoss, kEval};
    write(commit);
  }
  void write(const Commit& commit) { ASSERT_THAT(store_->write(commit, false), IsOk()); }
  void write(Commit commit, const Writer& writer) {
    commit.producers.push_back(writer.state);
    write(commit);
  }

  const test::TempDir dir_;
  std::unique_ptr<Store> store_;
};

}  // namespace ringlog::store
