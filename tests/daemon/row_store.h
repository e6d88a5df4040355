#pragma once
// A run's store with rows in it, made without a service.

#include "store/reader.h"
#include "store/store.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "result_matchers.h"

namespace ringlog::service {

// Rows of one metric "a" from producer 1, ring 0: row i has the value i.
class RowStore {
 public:
  explicit RowStore(const std::string& dir, store::StoreOptions options = {}) {
    auto opened = store::Store::open(dir, options);
    if (!opened) throw std::runtime_error(opened.error().message);
    store = std::move(*opened);
  }
  store::Commit next(uint64_t rows) {
    const store::KeySet keys{1, {{"a", store::ColumnType::kUint64}}};
    store::Commit commit;
    if (next_seq == 0) {
      commit.key_sets.push_back(keys);
      commit.meta.emplace();
      commit.meta->run_id = "run";
      commit.meta->monitor_ms = -1;  // or samples of the machine come when nobody expects them
      store::ProducerState producer;
      producer.producer = 1;
      producer.state = "running";
      commit.producers.push_back(producer);
    }
    store::RowBlock block({1, 0}, keys);
    for (uint64_t i = 0; i < rows; ++i, ++next_seq) {
      block.add_row(next_seq, next_seq, static_cast<int64_t>(next_seq), {{next_seq}});
    }
    commit.blocks.push_back(std::move(block));
    return commit;
  }
  void add(uint64_t rows) { ASSERT_THAT(store->write(next(rows), false), test::IsOk()); }

  std::unique_ptr<store::Store> store;
  uint64_t next_seq = 0;
};

}  // namespace ringlog::service
