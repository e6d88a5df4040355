#include "formats/step_merge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/store/store_fixture.h"

namespace ringlog::formats {
namespace {

using store::ColumnType;
using store::RowBlock;
using test::IsOk;

constexpr uint64_t kLast = INT64_MAX;

class StepMergeTest : public testing::Test {
 protected:
  StepMergeTest() {
    store_ = store::open_store(temp_.path());
    store::Commit commit;
    commit.key_sets = {keys_, other_};
    for (uint32_t id = 1; id <= 2; ++id) {
      store::ProducerState producer;
      producer.producer = id;
      producer.rank = static_cast<int32_t>(id) - 1;
      producer.rings.resize(1);
      commit.producers.push_back(producer);
    }
    EXPECT_THAT(store_->write(commit, false), IsOk());
  }

  // Rows whose only value is their number, at these steps.
  void log(uint32_t producer, const std::vector<uint64_t>& steps) {
    RowBlock block({producer, 0}, keys_);
    for (const uint64_t step : steps) {
      const uint64_t cells[] = {next_[producer]};
      block.add_row(next_[producer]++, step, 0, cells);
    }
    store::Commit commit;
    commit.blocks = {std::move(block)};
    ASSERT_THAT(store_->write(commit, false), IsOk());
  }

  // Step → what all its values are, joined with blanks; fails when steps do not rise.
  std::map<uint64_t, std::string> merged(bool has_ranks = true) {
    std::map<uint64_t, std::string> out;
    auto reader = store::open_reader(temp_.path());
    StepMerge merge(*reader, {}, has_ranks);
    auto rows = merge.run(kLast, [&](const MergedRow& row) {
      EXPECT_TRUE(out.empty() || out.rbegin()->first < row.step);
      std::string& text = out[row.step];
      for (const auto& [column, json] : row.cells) {
        const MergedColumn& metric = merge.columns()[column];
        text += metric.label + metric.keys.back() + "=" + json + " ";
      }
      return true;
    });
    EXPECT_THAT(rows, IsOk());
    rows_ = *rows;
    return out;
  }

  const store::KeySet keys_{1, {{"m", ColumnType::kInt64}}};
  const store::KeySet other_{2, {{"m\x1fx", ColumnType::kInt64}}};
  test::TempDir temp_;
  std::unique_ptr<store::Store> store_;
  std::map<uint32_t, uint64_t> next_;
  uint64_t rows_ = 0;
};

TEST_F(StepMergeTest, RanksMeetAtTheirSteps) {
  log(1, {0, 1, 3});
  log(2, {1, 2});
  const std::map<uint64_t, std::string> expected = {
      {0, "rank0/m=0 "}, {1, "rank0/m=1 rank1/m=0 "}, {2, "rank1/m=1 "}, {3, "rank0/m=2 "}};
  EXPECT_EQ(merged(), expected);
  EXPECT_EQ(rows_, 5U);
}

TEST_F(StepMergeTest, OfStepsThatGoBackTheLastValueStays) {
  log(1, {5, 6, 5});
  const std::map<uint64_t, std::string> expected = {{5, "m=2 "}, {6, "m=1 "}};
  EXPECT_EQ(merged(false), expected);
}

TEST_F(StepMergeTest, AnObjectReplacesTheValueOfItsName) {
  log(1, {0, 1});
  RowBlock block({1, 0}, other_);
  const uint64_t cells[] = {9};
  block.add_row(next_[1]++, 0, 0, cells);
  store::Commit commit;
  commit.blocks = {std::move(block)};
  ASSERT_THAT(store_->write(commit, false), IsOk());
  log(1, {2});
  const std::map<uint64_t, std::string> expected = {{0, "x=9 "}, {1, "m=1 "}, {2, "m=3 "}};
  EXPECT_EQ(merged(false), expected);
}

TEST_F(StepMergeTest, StepsMayLieFarApartUpToTheLast) {
  log(1, {0, 1'000'000'000'000, kLast - 1, kLast});
  log(2, {uint64_t{1} << 40, kLast});
  EXPECT_EQ(merged().size(), 5U);
  EXPECT_EQ(rows_, 6U);
}

TEST_F(StepMergeTest, MoreValuesThanFitAWindowComeInSeveral) {
  // First rare steps, so that windows grow, then many at once.
  std::vector<uint64_t> steps;
  for (uint64_t i = 0; i < 20; ++i) steps.push_back(i * 1'000'000);
  for (uint64_t i = 0; i < 2 * kMergedCellsMax; ++i) steps.push_back(20'000'000 + i);
  log(1, steps);
  const auto found = merged(false);
  ASSERT_EQ(found.size(), steps.size());
  EXPECT_EQ(rows_, steps.size());
  EXPECT_EQ(found.rbegin()->second, "m=" + std::to_string(steps.size() - 1) + " ");
}

}  // namespace
}  // namespace ringlog::formats
