// Readers find what was logged: rows, series, config, summary, records, the ledger.

#include "store/reader.h"

#include <gtest/gtest.h>

#include "reader_fixture.h"
#include "record/path.h"

namespace ringlog::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(Reader, VisitsRowsLaneByLaneInTheOrderOfRanks) {
  Writer second(1, 1);
  Writer first(2, 0);
  Writer again(3, 0, 1);
  Writer worker(4, 0, 0, 2);
  Commit commit;
  for (Writer* writer : {&second, &first, &again, &worker}) {
    writer->loss(commit, 0, 1.0, 1);
    writer->loss(commit, 1, 2.0);
    writer->eval(commit, 2, 0.5, 1, "x");
    writer->loss(commit, 3, 3.0);
    commit.producers.push_back(writer->state);
  }
  write(commit);
  std::vector<std::string> seen;
  std::vector<uint64_t> public_seqs;
  ASSERT_THAT(open_reader(dir_.path())
                  ->for_each_row({},
                                 [&](const RowView& row) {
                                   const ProducerState& p = row.producer();
                                   seen.push_back(std::to_string(p.rank) + "." +
                                                  std::to_string(p.attempt) + "." +
                                                  std::to_string(p.worker) + "." +
                                                  std::to_string(row.ring()) + ":" +
                                                  std::to_string(row.seq()));
                                   if (p.producer == 4) public_seqs.push_back(row.public_seq());
                                   return true;
                                 }),
              IsOk());
  EXPECT_THAT(seen, ElementsAre("0.0.0.0:0", "0.0.0.0:1", "0.0.0.0:2", "0.0.0.1:0",  //
                                "0.0.2.0:0", "0.0.2.0:1", "0.0.2.0:2", "0.0.2.1:0",  //
                                "0.1.0.0:0", "0.1.0.0:1", "0.1.0.0:2", "0.1.0.1:0",  //
                                "1.0.0.0:0", "1.0.0.0:1", "1.0.0.0:2", "1.0.0.1:0"));
  const uint64_t lane = uint64_t{32} << 40;
  EXPECT_THAT(public_seqs, ElementsAre(lane, lane + 1, lane + 2, lane + (uint64_t{1} << 40)));
}

TEST_F(Reader, FiltersRowsByAllItsFields) {
  Writer a(1, 0);
  Writer b(2, 1, 3);
  Commit commit;
  for (uint64_t step = 0; step < 100; ++step) {
    a.loss(commit, step, 1.0);
    b.loss(commit, step, 2.0);
    if (step % 10 == 0) b.eval(commit, step, 0.5, 1, "x");
  }
  commit.producers = {a.state, b.state};
  write(commit);
  const auto reader = open_reader(dir_.path());
  const auto count = [&](const RowFilter& filter) {
    return *reader->for_each_row(filter, [](const RowView&) { return true; });
  };
  EXPECT_EQ(count({}), 210U);
  EXPECT_EQ(count({.ranks = {1}}), 110U);
  EXPECT_EQ(count({.attempts = {0}}), 100U);
  EXPECT_EQ(count({.producers = {2}}), 110U);
  EXPECT_EQ(count({.metrics = {"eval.acc"}}), 10U);
  EXPECT_EQ(count({.metrics = {"loss", "note"}}), 210U);
  EXPECT_EQ(count({.seq_begin = 10, .seq_end = 20}), 20U);
  EXPECT_EQ(count({.step_begin = 10, .step_last = 19}), 21U);
  EXPECT_EQ(count({.from = {{{1, 0}, 95}, {{2, 0}, 200}}}), 5U);
  EXPECT_EQ(count({.from = {{{1, 0}, 10}}, .to = Cursors{{{1, 0}, 15}}}), 5U);
  EXPECT_EQ(count({.to = Cursors{}}), 0U);
  EXPECT_EQ(count({.rows_of_lane = 3}), 6U);
  EXPECT_THAT(reader->for_each_row({.metrics = {"los"}}, [](const RowView&) { return true; }),
              FailsWith(Code::kNotFound, HasSubstr("los")));
  uint64_t visited = 0;
  EXPECT_EQ(*reader->for_each_row({}, [&](const RowView&) { return ++visited < 7; }), 7U);

  std::vector<std::string> paths;
  ASSERT_THAT(reader->for_each_row({.metrics = {"epoch", "note"}},
                                   [&](const RowView& row) {
                                     for (size_t i = 0; i < row.size(); ++i)
                                       paths.push_back(row.column(i).path);
                                     EXPECT_EQ(row.number(0), 1.0);
                                     EXPECT_EQ(*row.value(1)->text(), "x");
                                     return false;
                                   }),
              IsOk());
  EXPECT_THAT(paths, ElementsAre("epoch", "note"));
}

TEST_F(Reader, FollowsARunThatIsBeingWritten) {
  Writer a(1, 0);
  const auto reader = open_reader(dir_.path());
  RowFilter filter;
  std::vector<uint64_t> seen;
  for (uint64_t round = 0; round < 300; ++round) {
    Commit commit;
    for (uint64_t i = 0; i < 20; ++i) a.loss(commit, round * 20 + i, 1.0);
    write(commit, a);
    if (round % 10 != 0) continue;
    ASSERT_THAT(reader->refresh(), IsOk());
    ASSERT_THAT(reader->for_each_row(filter,
                                     [&](const RowView& row) {
                                       seen.push_back(row.seq());
                                       return true;
                                     }),
                IsOk());
    filter.from = *reader->ends();
    ASSERT_EQ(seen.size(), (round + 1) * 20);
  }
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST_F(Reader, AnswersFromItsViewUntilItIsRefreshed) {
  Writer a(1, 0);
  Commit commit;
  a.loss(commit, 0, 1.0);
  write(commit, a);
  const auto reader = open_reader(dir_.path());
  Commit more;
  a.loss(more, 1, 2.0);
  write(more, a);
  EXPECT_EQ(*reader->row_count(), 1U);
  ASSERT_THAT(reader->refresh(), IsOk());
  EXPECT_EQ(*reader->row_count(), 2U);
}

TEST_F(Reader, ListsMetricsWithTypesAndRows) {
  Writer a(1, 0);
  Writer b(2, 1);
  const KeySet other{.id = 3, .columns = {{"loss", ColumnType::kInt64}}};
  Commit commit;
  commit.key_sets = {other};
  a.loss(commit, 0, 1.0);
  a.eval(commit, 1, 0.5, 3, "x");
  b.loss(commit, 0, 1.0);
  RowBlock block({2, 1}, other);
  const uint64_t cell = 5;
  block.add_row(0, 0, 0, std::span(&cell, 1));
  commit.blocks.push_back(block);
  commit.producers = {a.state, b.state};
  write(commit);
  const std::vector<Metric> metrics = *open_reader(dir_.path())->metrics();
  std::vector<std::string> names;
  for (const Metric& metric : metrics) names.push_back(metric.name);
  EXPECT_THAT(names, ElementsAre("big", "done", "epoch", "eval.acc", "loss", "note"));
  const Metric& loss = metrics[4];
  EXPECT_THAT(loss.types, ElementsAre(ColumnType::kFloat64, ColumnType::kInt64));
  EXPECT_EQ(loss.rows, 3U);
  EXPECT_EQ(loss.rows_by_rank, (std::map<int32_t, uint64_t>{{0, 1}, {1, 2}}));
}

TEST_F(Reader, SummaryIsTheLastRowOfTheLowestRanksNewestAttempt) {
  Writer old(1, 0, 0);
  Writer young(2, 0, 1);
  Writer other(3, 1, 5);
  Commit commit;
  old.loss(commit, 100, 1.0);
  old.eval(commit, 101, 0.25, (int64_t{1} << 53) + 1, "last words");
  young.loss(commit, 50, 2.0);
  young.loss(commit, 51, -0.0);
  other.loss(commit, 500, 9.0);
  other.eval(commit, 501, 0.75, 8, "not me");
  commit.producers = {old.state, young.state, other.state};
  commit.records.push_back(record_entry(1, [](schema::Record::Builder record) {
    auto fields = record.initSummary(2);
    fields[0].setKey("best");
    fields[0].initValue().setInt64(7);
    fields[1].setKey("eval");
    auto inner = fields[1].initValue().initObject(1);
    inner[0].setKey("top5");
    inner[0].initValue().setFloat64(0.5);
  }));
  write(commit);
  const Tree summary = *open_reader(dir_.path())->summary();
  EXPECT_EQ(to_json(summary),
            R"({"best":7,"big":18446744073709551615,"done":true,"epoch":9007199254740993,)"
            R"("eval":{"acc":0.25,"top5":0.5},"loss":-0.0,"note":"last words"})");
}

RecordEntry config(const std::string& key, int64_t value, const std::string& outer = {}) {
  return record_entry(1, [&](schema::Record::Builder record) {
    auto fields = record.initConfig(1);
    if (!outer.empty()) {
      fields[0].setKey(outer.c_str());
      fields = fields[0].initValue().initObject(1);
    }
    fields[0].setKey(key.c_str());
    fields[0].initValue().setInt64(value);
  });
}

TEST_F(Reader, ConfigIsMergedKeyByKey) {
  EXPECT_EQ(to_json(*open_reader(dir_.path())->config()), "{}");
  Commit commit;
  commit.records = {config("lr", 1), config("a", 1, "opt"), config("b", 2, "opt")};
  write(commit);
  Commit later;
  later.records = {config("lr", 3), config("b", 4, "opt")};
  write(later);
  EXPECT_EQ(to_json(*open_reader(dir_.path())->config()), R"({"lr":3,"opt":{"a":1,"b":4}})");
}

TEST_F(Reader, VisitsRecordsOfAKindFromAnyPlace) {
  Commit commit;
  for (int i = 0; i < 5; ++i) {
    commit.records.push_back(config("k", i));
    commit.records.push_back(record_entry(2, [&](schema::Record::Builder record) {
      record.setTimeNs(i);
      record.initAlert().setTitle("alert " + std::to_string(i));
    }));
  }
  write(commit);
  const auto reader = open_reader(dir_.path());
  std::vector<std::string> titles;
  std::vector<uint64_t> lsns;
  const auto visit = [&](const RecordView& view) {
    EXPECT_EQ(view.producer, 2U);
    titles.emplace_back(view.record.getAlert().getTitle().cStr());
    lsns.push_back(view.lsn);
    return true;
  };
  constexpr uint16_t kAlert = schema::Record::ALERT;
  ASSERT_THAT(reader->for_each_record(kAlert, 0, visit), IsOk());
  EXPECT_THAT(titles, ElementsAre("alert 0", "alert 1", "alert 2", "alert 3", "alert 4"));
  titles.clear();
  const uint64_t from = lsns[3];
  ASSERT_THAT(reader->for_each_record(kAlert, from, visit), IsOk());
  EXPECT_THAT(titles, ElementsAre("alert 3", "alert 4"));
  int all = 0;
  ASSERT_THAT(
      reader->for_each_record(std::nullopt, 0, [&](const RecordView&) { return ++all < 4; }),
      IsOk());
  EXPECT_EQ(all, 4);
}

TEST_F(Reader, LedgerCountsWhatIsThereAndNotWhatIsClaimed) {
  Writer good(1, 0);
  Writer bad(2, 1);
  Commit commit;
  for (int i = 0; i < 10; ++i) good.loss(commit, 0, 1.0);
  good.state.rings[0].next_seq += 3;
  good.state.rings[0].dropped = 3;
  for (int i = 0; i < 10; ++i) bad.loss(commit, 0, 1.0);
  bad.state.rings[0].next_seq -= 4;  // stores four rows twice…
  for (int i = 0; i < 4; ++i) bad.loss(commit, 0, 1.0);
  bad.state.rings[0].next_seq += 5;  // …and five never
  commit.producers = {good.state, bad.state};
  write(commit);
  const std::vector<LedgerEntry> ledger = *open_reader(dir_.path())->ledger();
  ASSERT_EQ(ledger.size(), 2U);
  EXPECT_TRUE(ledger[0].ok());
  EXPECT_EQ(ledger[0].attempted, 13U);
  EXPECT_EQ(ledger[0].stored, 10U);
  EXPECT_EQ(ledger[0].dropped, 3U);
  EXPECT_FALSE(ledger[1].ok());
  EXPECT_EQ(ledger[1].attempted, 15U);
  EXPECT_EQ(ledger[1].stored, 10U);
  EXPECT_EQ(ledger[1].missing, 5U);
  EXPECT_EQ(ledger[1].duplicated, 4U);
}

TEST_F(Reader, NoRingMakesUpForWhatAnotherLacks) {
  Writer writer(1, 0);
  Commit commit;
  for (int i = 0; i < 3; ++i) writer.loss(commit, 0, 1.0, 0);
  for (int i = 0; i < 3; ++i) writer.loss(commit, 0, 1.0, 1);
  writer.state.rings[0].next_seq = 2;  // one more is stored than is known to have been attempted…
  writer.state.rings[1].next_seq = 4;  // …and one less
  commit.producers = {writer.state};
  write(commit);
  const std::vector<LedgerEntry> ledger = *open_reader(dir_.path())->ledger();
  ASSERT_EQ(ledger.size(), 1U);
  EXPECT_EQ(ledger[0].attempted, 6U);
  EXPECT_EQ(ledger[0].stored, 6U);
  EXPECT_EQ(ledger[0].missing, 1U);
  EXPECT_FALSE(ledger[0].ok());
}

TEST_F(Reader, AnEmptyRunHasNothing) {
  const auto reader = open_reader(dir_.path());
  EXPECT_EQ(*reader->row_count(), 0U);
  EXPECT_THAT(*reader->metrics(), IsEmpty());
  EXPECT_THAT(*reader->producers(), IsEmpty());
  EXPECT_THAT(*reader->ledger(), IsEmpty());
  EXPECT_EQ(to_json(*reader->summary()), "{}");
  EXPECT_THAT(reader->meta(), FailsWith(Code::kNotFound));
  EXPECT_THAT(reader->damage(), IsEmpty());
}

}  // namespace
}  // namespace ringlog::store
