#pragma once
// What the store's tests share: random commits, and an oracle that remembers what they hold.
//
// One thread.

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "capnp/message.h"
#include "record/message.h"
#include "result_matchers.h"
#include "schema/record.capnp.h"
#include "seed.h"
#include "store/reader.h"
#include "store/store.h"
#include "temp_dir.h"

namespace ringlog::store {

using test::FailsWith;
using test::IsOk;

inline uint64_t bits_of(double value) { return std::bit_cast<uint64_t>(value); }

inline std::unique_ptr<Store> open_store(const std::string& dir, StoreOptions options = {}) {
  Result<std::unique_ptr<Store>> store = Store::open(dir, options);
  if (!store) throw std::runtime_error(store.error().message);
  return std::move(*store);
}

inline std::unique_ptr<RunReader> open_reader(const std::string& dir) {
  Result<std::unique_ptr<RunReader>> reader = RunReader::open(dir);
  if (!reader) throw std::runtime_error(reader.error().message);
  return std::move(*reader);
}

// A record with the bytes that a client would send.
template <typename Fill>
RecordEntry record_entry(uint32_t producer, Fill fill) {
  capnp::MallocMessageBuilder message;
  fill(message.initRoot<schema::Record>());
  const record::Words words = record::to_words(message);
  return {producer, 0, std::string(reinterpret_cast<const char*>(words.data()), words.size() * 8)};
}

// A byte cell: a flat schema Value with this text.
inline std::string text_value(const std::string& text) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::Value>().setText(text.c_str());
  const record::Words words = record::to_words(message);
  return {reinterpret_cast<const char*>(words.data()), words.size() * 8};
}

// A row as anybody would write it down.
struct PlainRow {
  uint64_t step = 0;
  int64_t time_ns = 0;
  uint32_t key_set = 0;
  std::vector<uint64_t> numbers;
  std::vector<std::string> bytes;
  bool operator==(const PlainRow&) const = default;
};
// Producer, ring, seq → row: the order in which rows are read.
using PlainRows = std::map<std::tuple<uint32_t, uint16_t, uint64_t>, PlainRow>;

inline PlainRow plain_row(const RowView& view) {
  PlainRow row{view.step(), view.time_ns(), view.keys().id, {}, {}};
  for (size_t i = 0; i < view.size(); ++i) {
    if (view.column(i).type == ColumnType::kOther) {
      row.bytes.emplace_back(view.bytes(i));
    } else {
      row.numbers.push_back(view.bits(i));
    }
  }
  return row;
}

// All rows of a run; fails the test when one comes out of order or twice.
inline PlainRows read_all(RunReader& reader, const RowFilter& filter = {}) {
  PlainRows rows;
  Result<uint64_t> visited = reader.for_each_row(filter, [&](const RowView& view) {
    const std::tuple key(view.producer().producer, view.ring(), view.seq());
    EXPECT_TRUE(rows.empty() || rows.rbegin()->first < key) << "row " << view.seq();
    rows[key] = plain_row(view);
    return true;
  });
  EXPECT_THAT(visited, IsOk());
  return rows;
}

// Producers that log, and the rows that they must have in the end.
class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed) {
    for (uint32_t id = 1; id <= 4; ++id) {
      KeySet keys{.id = id, .columns = {}};
      for (uint64_t i = 0; i < id * 2; ++i) {
        const bool is_text = id == 3 && i == 1;
        keys.columns.push_back(
            {"m" + std::to_string(i), is_text ? ColumnType::kOther : ColumnType::kFloat64});
      }
      key_sets_.push_back(keys);
    }
    for (uint32_t id = 1; id <= 3; ++id) {
      ProducerState producer;
      producer.producer = id;
      producer.rank = static_cast<int32_t>(id) - 1;
      producer.state = "running";
      producer.rings.resize(2);
      producers_.push_back(producer);
    }
  }

  // The next commit, of about `rows_max` rows a block at most.
  Commit next(size_t rows_max) {
    Commit commit;
    if (!announced_) commit.key_sets = key_sets_;
    announced_ = true;
    for (ProducerState& producer : producers_) {
      if (random_.one_in(4)) continue;
      for (uint16_t ring = 0; ring < producer.rings.size(); ++ring)
        add(producer, ring, rows_max, commit);
      commit.producers.push_back(producer);
    }
    return commit;
  }

  const PlainRows& rows() const { return rows_; }
  const KeySet& keys(uint32_t id) const { return key_sets_[id - 1]; }
  const std::vector<ProducerState>& producers() const { return producers_; }
  test::Random& random() { return random_; }

 private:
  // Rows of several key sets in turns, as a program that logs different keys at times.
  void add(ProducerState& producer, uint16_t ring, size_t rows_max, Commit& commit) {
    RingState& state = producer.rings[ring];
    const size_t rows = random_.below(rows_max + 1);
    std::map<uint32_t, RowBlock> blocks;
    for (size_t i = 0; i < rows; ++i) {
      const KeySet& keys = key_sets_[random_.one_in(10) ? random_.below(key_sets_.size()) : ring];
      const auto [it, is_new] = blocks.try_emplace(keys.id);
      if (is_new) it->second = RowBlock({producer.producer, ring}, keys);
      add_row(it->second, state);
    }
    state.position += rows * 80;
    for (auto& [id, block] : blocks) commit.blocks.push_back(std::move(block));
  }

  void add_row(RowBlock& block, RingState& state) {
    PlainRow row{
        state.next_seq / 2, static_cast<int64_t>(random_.bits() >> 2), block.key_set, {}, {}};
    for (size_t i = 0; i < block.number_count; ++i) {
      row.numbers.push_back(random_.one_in(3) ? random_.bits() : bits_of(0.5));
    }
    for (size_t i = 0; i < block.byte_count; ++i) row.bytes.push_back(text_value("text"));
    const std::vector<std::string_view> views(row.bytes.begin(), row.bytes.end());
    block.add_row(state.next_seq, row.step, row.time_ns, row.numbers, views);
    rows_[{block.producer, block.ring, state.next_seq}] = row;
    ++state.next_seq;
    ++state.stored;
    if (random_.one_in(50)) {  // the program dropped one
      ++state.next_seq;
      ++state.dropped;
    }
  }

  test::Random random_;
  std::vector<KeySet> key_sets_;
  bool announced_ = false;
  std::vector<ProducerState> producers_;
  PlainRows rows_;
};

}  // namespace ringlog::store
