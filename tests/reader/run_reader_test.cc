// The public reader, over stores written here with the store's own writer.

#include <gtest/gtest.h>
#include <ringlog/reader.h>

#include <bit>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "tests/store/store_fixture.h"

namespace ringlog {
namespace {

using store::bits_of;
using store::ColumnType;
using store::KeySet;
using store::ProducerState;
using store::RowBlock;
using test::FailsWith;
using test::IsOk;
using ::testing::HasSubstr;

const KeySet kNumbers{1,
                      {{"loss", ColumnType::kFloat64},
                       {"count", ColumnType::kInt64},
                       {"size", ColumnType::kUint64},
                       {"even", ColumnType::kBool}}};
const KeySet kTexts{2, {{"sample", ColumnType::kOther}}};
const KeySet kMixed{3, {{"count", ColumnType::kFloat64}, {"net\x1fwidth", ColumnType::kInt64}}};

ProducerState process(uint32_t id, int32_t rank, int32_t attempt = 0, uint32_t worker = 0) {
  ProducerState producer;
  producer.producer = id;
  producer.rank = rank;
  producer.attempt = attempt;
  producer.worker = worker;
  producer.state = "running";
  producer.rings.resize(1);
  return producer;
}

// A run that somebody writes.
class RunReaderTest : public testing::Test {
 protected:
  RunReaderTest() {
    ::setenv("RINGLOG_RUNTIME_DIR", temp_.file("runtime").c_str(), 1);
    dir_ = temp_.file("demo/run");
    std::filesystem::create_directories(dir_);
    store_ = store::open_store(dir_);
    store::Commit commit;
    commit.key_sets = {kNumbers, kTexts, kMixed};
    commit.producers = {process(1, 0), process(2, 1), process(3, 1, 1), process(4, 0, 0, 1)};
    commit.meta.emplace();
    commit.meta->run_id = "run";
    commit.meta->project = "demo";
    commit.meta->state = "running";
    commit.meta->tags = {"a", "b"};
    write(std::move(commit));
  }

  void write(store::Commit commit) { ASSERT_THAT(store_->write(commit, false), IsOk()); }

  // Rows with the losses `values`, their steps from `step` on.
  void log(uint32_t producer, uint64_t seq, uint64_t step, const std::vector<double>& values) {
    RowBlock block({producer, 0}, kNumbers);
    for (const double value : values) {
      const uint64_t cells[] = {bits_of(value), seq, UINT64_MAX - seq, seq % 2};
      block.add_row(seq, step, static_cast<int64_t>(step) * 1000, cells);
      ++seq;
      ++step;
    }
    store::Commit commit;
    commit.blocks = {std::move(block)};
    write(std::move(commit));
  }

  RunReader open_run() {
    auto run = open("run", {.root = temp_.path(), .asks_service = false});
    if (!run) throw std::runtime_error(run.error().message);
    return *std::move(run);
  }

  test::TempDir temp_;
  std::string dir_;
  std::unique_ptr<store::Store> store_;
};

template <typename T>
std::vector<T> copy(std::span<const T> from) {
  return {from.begin(), from.end()};
}

TEST_F(RunReaderTest, SystemMetricsAreSeriesByName) {
  store::Commit commit;
  commit.stats.push_back({.names = {"cpu", "gpu.0.gpu"},
                          .times_ns = {10, 20},
                          .values = {1, 2, 3, std::nan("")},
                          .gpus = {}});
  commit.stats.push_back({.names = {"cpu"}, .times_ns = {30}, .values = {5}, .gpus = {}});
  ASSERT_THAT(store_->write(commit, false), IsOk());
  auto run = ringlog::open(dir_);
  ASSERT_THAT(run, IsOk());
  const auto all = run->system_series();
  ASSERT_THAT(all, IsOk());
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[0].name, "cpu");
  EXPECT_EQ((*all)[0].time_ns, (std::vector<int64_t>{10, 20, 30}));
  EXPECT_EQ((*all)[0].value, (std::vector<double>{1, 3, 5}));
  EXPECT_EQ((*all)[1].value, (std::vector<double>{2})) << "what was not known is no point";
  const auto some =
      run->system_series({.names = {"cpu", "none"}, .time_begin_ns = 11, .time_last_ns = 20});
  ASSERT_THAT(some, IsOk());
  ASSERT_EQ(some->size(), 1u);
  EXPECT_EQ((*some)[0].value, (std::vector<double>{3}));
}

TEST_F(RunReaderTest, TellsWhatTheRunIs) {
  log(1, 0, 0, {1.0});
  RunReader run = open_run();
  auto description = run.description();
  ASSERT_THAT(description, IsOk());
  EXPECT_EQ(description->id, "run");
  EXPECT_EQ(description->project, "demo");
  EXPECT_EQ(description->state, "running");
  EXPECT_EQ(description->dir, dir_);
  EXPECT_FALSE(description->is_live) << "nobody was asked";
  EXPECT_EQ(description->tags, (std::vector<std::string>{"a", "b"}));
  auto processes = run.processes();
  ASSERT_THAT(processes, IsOk());
  ASSERT_EQ(processes->size(), 4U);
  EXPECT_EQ((*processes)[1].worker, 1U);
  EXPECT_EQ((*processes)[3].attempt, 1);
  EXPECT_EQ(*run.row_count(), 1U);
  EXPECT_TRUE(run.damage().empty());
}

TEST_F(RunReaderTest, AnExactSeriesHasEveryRowOfEachRankNanIncluded) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  log(1, 0, 5, {1.0, nan, 3.0});
  log(2, 0, 0, {10.0});
  auto found = open_run().series({.metric = "loss"});
  ASSERT_THAT(found, IsOk());
  ASSERT_EQ(found->size(), 2U);
  const Series& first = (*found)[0];
  EXPECT_EQ(first.rank, 0);
  EXPECT_EQ(copy(first.step()), (std::vector<uint64_t>{5, 6, 7}));
  EXPECT_EQ(copy(first.time_last_ns), (std::vector<int64_t>{5000, 6000, 7000}));
  EXPECT_EQ(first.value()[0], 1.0);
  EXPECT_TRUE(std::isnan(first.value()[1]));
  EXPECT_EQ(first.value()[2], 3.0);
  EXPECT_EQ((*found)[1].rank, 1);
  EXPECT_EQ(copy((*found)[1].value()), (std::vector<double>{10.0}));
}

TEST_F(RunReaderTest, AThinnedSeriesHidesNoSpike) {
  std::vector<double> values(10'000, 1.0);
  values[7777] = 99.0;
  log(1, 0, 0, values);
  auto found = open_run().series({.metric = "loss", .max_points = 50});
  ASSERT_THAT(found, IsOk());
  const Series& series = found->front();
  EXPECT_LE(series.size(), 50U);
  uint64_t rows = 0;
  double highest = 0;
  for (size_t i = 0; i < series.size(); ++i) {
    rows += series.rows[i];
    highest = std::max(highest, series.max[i]);
  }
  EXPECT_EQ(rows, values.size());
  EXPECT_EQ(highest, 99.0);
}

TEST_F(RunReaderTest, ANewerAttemptHidesTheStepsThatItDidAgain) {
  log(2, 0, 0, {1.0, 2.0, 3.0});
  log(3, 0, 1, {20.0, 30.0});
  RunReader run = open_run();
  auto newest = run.series({.metric = "loss", .ranks = {1}});
  ASSERT_THAT(newest, IsOk());
  ASSERT_EQ(newest->size(), 1U);
  EXPECT_EQ(copy(newest->front().value()), (std::vector<double>{1.0, 20.0, 30.0}));
  auto all = run.series({.metric = "loss", .ranks = {1}, .all_attempts = true});
  ASSERT_THAT(all, IsOk());
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ(copy(all->front().value()), (std::vector<double>{1.0, 2.0, 3.0}));
  EXPECT_EQ(all->back().attempt, 1);
  auto table = run.table({.ranks = {1}});
  ASSERT_THAT(table, IsOk());
  EXPECT_EQ(copy(table->attempt), (std::vector<int32_t>{0, 0, 0, 1, 1}));
}

TEST_F(RunReaderTest, ATableHasAColumnOfItsOwnTypeForEachMetric) {
  const double odd_nan = std::bit_cast<double>(uint64_t{0x7ff8'dead'beef'0001});
  log(1, 0, 0, {0.1, odd_nan});
  auto table = open_run().table();
  ASSERT_THAT(table, IsOk());
  ASSERT_EQ(table->size(), 2U);
  EXPECT_EQ(copy(table->rank), (std::vector<int32_t>{0, 0}));
  EXPECT_EQ(copy(table->seq), (std::vector<uint64_t>{0, 1}));
  EXPECT_EQ(copy(table->time_ns), (std::vector<int64_t>{0, 1000}));
  const TableColumn* loss = table->find("loss");
  ASSERT_NE(loss, nullptr);
  EXPECT_EQ(loss->kind, ColumnKind::kFloat64);
  EXPECT_EQ(bits_of(loss->float64[1]), bits_of(odd_nan)) << "a NaN keeps its payload";
  EXPECT_EQ(table->find("count")->int64[1], 1);
  EXPECT_EQ(table->find("size")->uint64[1], UINT64_MAX - 1);
  EXPECT_EQ(table->find("even")->kind, ColumnKind::kBool);
  EXPECT_EQ(table->find("even")->uint64[1], 1U);
  EXPECT_EQ(table->find("nothing"), nullptr);
}

TEST_F(RunReaderTest, CellsThatARowDoesNotHaveAreMarked) {
  log(1, 0, 0, {0.5});
  RowBlock block({1, 0}, kTexts);
  const std::string text = store::text_value("caf\xc3\xa9");
  const std::string_view bytes[] = {text};
  block.add_row(1, 1, 0, {}, bytes);
  store::Commit commit;
  commit.blocks = {std::move(block)};
  write(std::move(commit));
  RunReader run = open_run();
  auto table = run.table({.metrics = {"loss", "sample"}});
  ASSERT_THAT(table, IsOk());
  EXPECT_EQ(copy(table->find("loss")->has_value), (std::vector<uint8_t>{1, 0}));
  const Table kept = *table;  // a copy keeps the spans alive
  table = run.table();
  const TableColumn* sample = kept.find("sample");
  EXPECT_EQ(copy(sample->has_value), (std::vector<uint8_t>{0, 1}));
  EXPECT_EQ(sample->text[1], "caf\xc3\xa9");
  EXPECT_EQ(sample->text[0], "");
  auto metrics = run.metrics();
  ASSERT_THAT(metrics, IsOk());
  EXPECT_EQ(metrics->back().kind, ColumnKind::kUint64);
  EXPECT_EQ(metrics->back().name, "size");
}

TEST_F(RunReaderTest, AMetricOfSeveralNumberTypesIsFloat64) {
  log(1, 0, 0, {0.5});
  RowBlock block({1, 0}, kMixed);
  const uint64_t cells[] = {bits_of(2.5), 7};
  block.add_row(1, 1, 0, cells);
  store::Commit commit;
  commit.blocks = {std::move(block)};
  write(std::move(commit));
  auto table = open_run().table({.metrics = {"count", "net.width"}});
  ASSERT_THAT(table, IsOk());
  EXPECT_EQ(table->find("count")->kind, ColumnKind::kFloat64);
  EXPECT_EQ(copy(table->find("count")->float64), (std::vector<double>{0.0, 2.5}));
  EXPECT_EQ(table->find("net\x1fwidth")->int64[1], 7);
}

TEST_F(RunReaderTest, ARunThatIsBeingWrittenIsFollowedRowByRow) {
  log(1, 0, 0, {1.0, 2.0});
  RunReader run = open_run();
  TableRequest request{.metrics = {"loss"}};
  auto table = run.table(request);
  ASSERT_THAT(table, IsOk());
  EXPECT_EQ(table->size(), 2U);
  request.after = table->end;
  log(1, 2, 2, {3.0});
  log(2, 0, 0, {4.0});
  EXPECT_EQ(run.table(request)->size(), 0U) << "a view stays what it was";
  ASSERT_THAT(run.refresh(), IsOk());
  table = run.table(request);
  ASSERT_THAT(table, IsOk());
  EXPECT_EQ(copy(table->find("loss")->float64), (std::vector<double>{3.0, 4.0}));
  request.after = table->end;
  EXPECT_EQ(run.table(request)->size(), 0U);
}

TEST_F(RunReaderTest, RowsAreTextInTheFormatsOfTheExport) {
  log(1, 0, 5, {1.0, 0.25});
  log(3, 0, 9, {-0.0});
  RunReader run = open_run();
  std::vector<std::string> lines;
  const auto keep = [&](const RowText& row) {
    lines.push_back(std::to_string(row.rank) + " " + std::to_string(row.attempt) + " " +
                    std::to_string(row.step) + " " + std::to_string(row.time_ns) + " " +
                    std::string(row.text));
    return true;
  };
  const TableRequest request{.metrics = {"even", "loss"}};
  ASSERT_THAT(run.for_each_row(RowFormat::kJson, request, keep), IsOk());
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[1],
            "0 0 6 6000 {\"_rank\":0,\"_attempt\":0,\"_seq\":1,\"_step\":6,"
            "\"_timestamp\":0.000006,\"loss\":0.25,\"even\":true}");
  lines.clear();
  ASSERT_THAT(run.for_each_row(RowFormat::kCsv, request, keep), IsOk());
  EXPECT_EQ(*run.csv_header(request), "_rank,_attempt,_seq,_step,_timestamp,even,loss");
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[2], "1 1 9 9000 1,1,0,9,0.000009,false,-0.0");
  EXPECT_THAT(run.for_each_row(RowFormat::kCsv, {.metrics = {"nothing"}}, keep),
              FailsWith(Code::kNotFound));
}

TEST_F(RunReaderTest, VisitsOfRowsEndWhereTheyAreTold) {
  log(1, 0, 0, std::vector<double>(10, 1.0));
  log(2, 0, 0, std::vector<double>(3, 1.0));
  RunReader run = open_run();
  const auto all = [](const RowText&) { return true; };
  EXPECT_EQ(*run.for_each_row(RowFormat::kJson, {}, all), 13U);
  EXPECT_EQ(*run.for_each_row(RowFormat::kJson, {.max_rows = 4}, all), 4U);
  uint64_t seen = 0;
  EXPECT_EQ(*run.for_each_row(RowFormat::kJson, {}, [&](const RowText&) { return ++seen < 5; }),
            5U);
  // The newest rows of each thread, however few it has.
  EXPECT_EQ(*run.for_each_row(RowFormat::kCsv, {.after = *run.end(4)}, all), 7U);
  const ReadPosition end = *run.end();
  EXPECT_EQ(*run.for_each_row(RowFormat::kCsv, {.after = end}, all), 0U);
  log(2, 3, 3, {1.0, 2.0});
  ASSERT_THAT(run.refresh(), IsOk());
  EXPECT_EQ(*run.for_each_row(RowFormat::kCsv, {.after = end}, all), 2U);
}

TEST_F(RunReaderTest, TheLedgerTellsWhatIsMissingAndWhoseRingIsBroken) {
  log(1, 0, 0, {1.0, 2.0});
  log(1, 5, 5, {3.0});  // three are gone
  store::Commit commit;
  commit.producers = {process(1, 0), process(3, 1, 1)};
  commit.producers[0].rings[0].next_seq = 6;
  commit.producers[1].rings[0].poisoned = "a record is too long";
  commit.producers[1].cause = "signal 9";
  write(std::move(commit));
  RunReader run = open_run();
  auto ledger = run.ledger();
  ASSERT_THAT(ledger, IsOk());
  ASSERT_EQ(ledger->size(), 4U);
  EXPECT_EQ((*ledger)[0].stored, 3U);
  EXPECT_EQ((*ledger)[0].missing, 3U);
  EXPECT_FALSE((*ledger)[0].ok());
  EXPECT_EQ((*ledger)[1].process.worker, 1U);
  const ProcessDescription& broken = (*ledger)[3].process;
  EXPECT_EQ(broken.attempt, 1);
  EXPECT_EQ(broken.cause, "signal 9");
  EXPECT_EQ(broken.broken_rings,
            std::vector<std::string>{"ring 0 is not read any more: a record is too long"});
}

TEST_F(RunReaderTest, TheLedgerIsNotWellWhereNobodyKnowsWhatWasCommitted) {
  log(1, 0, 0, {1.0});
  store::Commit commit;
  commit.producers = {process(1, 0), process(2, 1)};
  commit.producers[0].rings[0].next_seq = 1;
  commit.producers[1].state = "crashed";
  commit.producers[1].is_end_unread = true;
  write(std::move(commit));
  // Whoever asks no service does not hear that there is none.
  const auto unasked = open_run().ledger();
  ASSERT_THAT(unasked, IsOk());
  EXPECT_TRUE(unasked->at(0).ok());
  EXPECT_FALSE(unasked->at(2).ok());
  EXPECT_THAT(unasked->at(2).process.unread, HasSubstr("never read"));
  auto run = open("run", {.root = temp_.path()});
  ASSERT_THAT(run, IsOk());
  const auto asked = run->ledger();
  ASSERT_THAT(asked, IsOk());
  EXPECT_FALSE(asked->at(0).ok());
  EXPECT_THAT(asked->at(0).process.unread, HasSubstr("ringlog service start"));
  EXPECT_FALSE(asked->at(2).ok());
  EXPECT_THAT(asked->at(2).process.unread, HasSubstr("never read"));
}

TEST_F(RunReaderTest, WhoLogsOnAnotherMachineIsToBeAskedForThere) {
  log(1, 0, 0, {1.0});
  store::Commit commit;
  commit.producers = {process(1, 0)};
  commit.producers[0].rings[0].next_seq = 1;
  commit.producers[0].host = "node17";
  write(std::move(commit));
  auto run = open("run", {.root = temp_.path()});
  ASSERT_THAT(run, IsOk());
  const auto ledger = run->ledger();
  ASSERT_THAT(ledger, IsOk());
  EXPECT_FALSE(ledger->at(0).ok());
  EXPECT_THAT(ledger->at(0).process.unread, HasSubstr("on node17"));
}

TEST_F(RunReaderTest, TablesInPiecesAreTheWholeTable) {
  for (const uint32_t producer : {1U, 2U, 4U}) log(producer, 0, 0, std::vector<double>(500, 1.0));
  RunReader run = open_run();
  auto whole = run.table();
  ASSERT_THAT(whole, IsOk());
  std::vector<uint64_t> seq;
  std::vector<uint32_t> worker;
  TableRequest request{.max_rows = 7};
  for (;;) {
    auto piece = run.table(request);
    ASSERT_THAT(piece, IsOk());
    if (piece->size() == 0) break;
    EXPECT_LE(piece->size(), 7U);
    seq.insert(seq.end(), piece->seq.begin(), piece->seq.end());
    worker.insert(worker.end(), piece->worker.begin(), piece->worker.end());
    request.after = piece->end;
  }
  EXPECT_EQ(seq, copy(whole->seq));
  EXPECT_EQ(worker, copy(whole->worker));
  EXPECT_EQ(seq.size(), 1500U);
}

TEST_F(RunReaderTest, EventsAreWhatWasLoggedAndIsNoRow) {
  store::Commit commit;
  commit.records.push_back(store::record_entry(2, [](schema::Record::Builder record) {
    auto field = record.initConfig(1)[0];
    field.setKey("lr");
    field.initValue().setFloat64(0.5);
  }));
  commit.records.push_back(store::record_entry(2, [](schema::Record::Builder record) {
    record.setTimeNs(7);
    record.initAlert().setTitle("title");
    record.getAlert().setText("text");
  }));
  commit.records.push_back(store::record_entry(2, [](schema::Record::Builder record) {
    auto process = record.initProcess();
    process.setExecutable("/bin/train");
    process.initCommand(1).set(0, "train");
    process.getGit().setBranch("main");
  }));
  write(std::move(commit));
  RunReader run = open_run();
  auto events = run.events();
  ASSERT_THAT(events, IsOk());
  ASSERT_EQ(events->size(), 3U);
  EXPECT_EQ((*events)[2].kind, EventKind::kProcess);
  EXPECT_EQ((*events)[2].name, "/bin/train");
  EXPECT_NE((*events)[2].text.find("\"command\":[\"train\"]"), std::string::npos);
  EXPECT_NE((*events)[2].text.find("\"branch\":\"main\""), std::string::npos);
  EXPECT_EQ((*events)[0].kind, EventKind::kConfig);
  EXPECT_EQ((*events)[0].text, "{\"lr\":0.5}");
  EXPECT_EQ((*events)[0].rank, 1);
  EXPECT_EQ((*events)[1].name, "title");
  EXPECT_EQ((*events)[1].time_ns, 7);
  auto rest = run.events((*events)[0].id);
  ASSERT_THAT(rest, IsOk());
  ASSERT_EQ(rest->size(), 2U);
  EXPECT_EQ(run.events(0, 1)->size(), 1U);
  EXPECT_EQ(*run.config_json(), "{\"lr\":0.5}");
  auto config = run.config();
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(std::get<double>(config->find("lr")->value), 0.5);
}

TEST_F(RunReaderTest, WhatIsNotThereIsNamed) {
  auto nobody = open("nobody", {.root = temp_.path(), .asks_service = false});
  EXPECT_THAT(nobody, FailsWith(Code::kNotFound));
  EXPECT_NE(nobody.error().message.find(temp_.path()), std::string::npos);
  log(1, 0, 0, {1.0});
  RunReader run = open_run();
  EXPECT_THAT(run.series({.metric = "nothing"}), FailsWith(Code::kNotFound));
  auto table = run.table({.metrics = {"nothing"}});
  EXPECT_THAT(table, FailsWith(Code::kNotFound));
  EXPECT_NE(table.error().message.find("nothing"), std::string::npos);
}

TEST_F(RunReaderTest, AFinishedRunReadsTheSameFromItsDirectory) {
  log(1, 0, 0, {1.0, 2.0});
  store_.reset();
  auto run = open(dir_, {.asks_service = false});
  ASSERT_THAT(run, IsOk());
  EXPECT_EQ(run->table()->size(), 2U);
}

}  // namespace
}  // namespace ringlog
