// Summaries: what define_metric() asked for, over chunks, attempts and ranks.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "record/path.h"
#include "store/aggregate.h"
#include "store_fixture.h"

namespace ringlog::store {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
const KeySet kKeys{.id = 1,
                   .columns = {{"loss", ColumnType::kFloat64},
                               {record::join_path({"a", "n"}), ColumnType::kInt64},
                               {"word", ColumnType::kOther}}};

class Summary : public ::testing::Test {
 protected:
  Summary() : store_(open_store(dir_.path())) {
    Commit commit;
    commit.key_sets = {kKeys};
    write(commit);
  }
  void write(const Commit& commit) { ASSERT_THAT(store_->write(commit, false), IsOk()); }

  ProducerState& producer(uint32_t id, int32_t rank, int32_t attempt) {
    ProducerState& state = states_[id];
    state.producer = id;
    state.rank = rank;
    state.attempt = attempt;
    state.state = "running";
    state.rings.resize(1);
    return state;
  }
  // A commit, so a chunk, of its own for each call.
  void rows(ProducerState& state, const std::vector<double>& losses) {
    Commit commit;
    RowBlock block({state.producer, 0}, kKeys);
    for (const double loss : losses) {
      const uint64_t n = std::isnan(loss) ? 0 : static_cast<uint64_t>(loss);
      const uint64_t cells[] = {bits_of(loss), n};
      const std::string text = text_value("of rank " + std::to_string(state.rank));
      const std::string_view bytes(text);
      block.add_row(state.rings[0].next_seq++, state.next_step++, ++time_ns_, cells,
                    std::span(&bytes, 1));
    }
    commit.blocks.push_back(std::move(block));
    commit.producers.push_back(state);
    write(commit);
  }
  void define(const std::string& name, const std::vector<std::string>& summary,
              const std::string& step_metric = "", bool is_hidden = false) {
    Commit commit;
    commit.records.push_back(record_entry(1, [&](schema::Record::Builder record) {
      auto metric = record.initMetric();
      metric.setName(name);
      metric.setStepMetric(step_metric);
      auto names = metric.initSummary(static_cast<capnp::uint>(summary.size()));
      for (size_t i = 0; i < summary.size(); ++i) {
        names.set(static_cast<capnp::uint>(i), summary[i].c_str());
      }
      metric.setHidden(is_hidden);
    }));
    write(commit);
  }
  std::string json() const { return to_json(*open_reader(dir_.path())->summary()); }

  const test::TempDir dir_;
  std::unique_ptr<Store> store_;
  std::map<uint32_t, ProducerState> states_;
  int64_t time_ns_ = 0;
};

TEST_F(Summary, IsTheLastValueUnlessARuleAsksForMore) {
  ProducerState& rank = producer(1, 0, 0);
  define("loss", {"min", "max", "mean", "first", "last"});
  define("a.*", {"max"});
  rows(rank, {3, 1});
  rows(rank, {8, 4});
  EXPECT_EQ(json(), R"({"a":{"n":{"max":8}},"loss":{"first":3.0,"last":4.0,"max":8.0,"mean":4.0,)"
                    R"("min":1.0},"word":"of rank 0"})");
}

TEST_F(Summary, LeavesNaNOutOfEverythingButFirstAndLast) {
  define("loss", {"min", "mean", "last"});
  ProducerState& rank = producer(1, 0, 0);
  rows(rank, {kNan, 2});
  rows(rank, {4, kNan});
  EXPECT_EQ(json(), R"({"a":{"n":0},"loss":{"last":NaN,"mean":3.0,"min":2.0},"word":"of rank 0"})");
}

TEST_F(Summary, NoneMeansNothing) {
  define("*", {"none"});
  rows(producer(1, 0, 0), {1});
  EXPECT_EQ(json(), "{}");
}

TEST_F(Summary, IsOfTheLowestRankAndOfAllItsAttempts) {
  define("loss", {"first", "min", "max", "last"});
  rows(producer(3, 0, 1), {5});
  rows(producer(1, 1, 0), {0, 9});
  rows(producer(2, 0, 0), {7, 6});
  EXPECT_EQ(json(), R"({"a":{"n":5},"loss":{"first":7.0,"last":5.0,"max":7.0,"min":5.0},)"
                    R"("word":"of rank 0"})");
}

TEST_F(Summary, RulesOfOneNameAreMergedAndNamesStandAbovePrefixes) {
  define("loss", {"min"}, "epoch");
  define("loss", {"max"});
  define("l*", {"mean"}, "", true);
  define("*", {"none"});
  const auto rules = *open_reader(dir_.path())->rules();
  const MetricRule* loss = rules.find("loss");
  ASSERT_NE(loss, nullptr);
  EXPECT_EQ(loss->step_metric, "epoch");
  EXPECT_THAT(loss->summary, ::testing::ElementsAre("min", "max"));
  EXPECT_FALSE(loss->is_hidden);
  EXPECT_EQ(rules.find("lr")->name, "l*");
  EXPECT_TRUE(rules.find("other")->is_left_out());
  define("loss", {"none"});
  EXPECT_TRUE(open_reader(dir_.path())->rules()->find("loss")->is_left_out());
}

TEST_F(Summary, ComparesTheLastValuesOfTheRanks) {
  rows(producer(1, 0, 0), {100, 10});
  rows(producer(2, 1, 0), {30});
  rows(producer(3, 5, 0), {20});
  rows(producer(4, 7, 0), {kNan});
  const auto all = *open_reader(dir_.path())->aggregates();
  const AcrossRanks across = all.at("loss").across();
  EXPECT_EQ(to_json(tree_of(across)),
            R"({"max":30.0,"max_rank":1,"mean":20.0,"min":10.0,"min_rank":0,"ranks":3})");
  EXPECT_FALSE(all.contains("word"));
  EXPECT_TRUE(all.at(record::join_path({"a", "n"})).is_integer);
}

}  // namespace
}  // namespace ringlog::store
