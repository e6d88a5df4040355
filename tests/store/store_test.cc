// A store holds exactly what was committed to it, however commits are cut and whenever it is
// reopened.

#include "store/store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "store/limits.h"
#include "store/written_time.h"
#include "store_fixture.h"

namespace ringlog::store {
namespace {

using ::testing::HasSubstr;

const KeySet kLoss{.id = 1, .columns = {{"loss", ColumnType::kFloat64}}};

// `rows` rows of kLoss, from `seq` on.
Commit loss_commit(uint64_t seq, uint64_t rows) {
  Commit commit;
  commit.key_sets.push_back(kLoss);
  RowBlock block({1, 0}, kLoss);
  for (uint64_t i = seq; i < seq + rows; ++i) {
    const uint64_t cell = bits_of(1.0 / static_cast<double>(i * i + 1));
    block.add_row(i, i, static_cast<int64_t>(i * 1000 + i % 7), std::span(&cell, 1));
  }
  commit.blocks.push_back(block);
  ProducerState producer;
  producer.producer = 1;
  producer.rings = {{.next_seq = seq + rows, .stored = seq + rows}};
  commit.producers.push_back(producer);
  return commit;
}

size_t chunk_rows_max(RunReader& reader) {
  // Rows of a large chunk, seen from outside: a metric's points that stand for whole chunks.
  Result<std::vector<Series>> series = reader.series({.metric = "loss", .max_points = 1});
  return series->front().points.front().rows;
}

TEST(Store, ReturnsTheRowsOfRandomCommitsAndReopensAnywhere) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  for (uint64_t round = 0; round < 6; ++round) {
    const test::TempDir dir;
    Simulation simulation(seed + round);
    auto store = open_store(dir.path());
    for (int i = 0; i < 60; ++i) {
      const size_t rows_max = simulation.random().pick<size_t>({3, 3, 30, 300, 5000});
      ASSERT_THAT(store->write(simulation.next(rows_max), simulation.random().one_in(10)), IsOk());
      if (simulation.random().one_in(15)) {
        store.reset();
        store = open_store(dir.path());
      }
      if (simulation.random().one_in(20)) {
        ASSERT_THAT(store->close_chunks(1 + static_cast<uint32_t>(simulation.random().below(3))),
                    IsOk());
      }
    }
    const auto reader = open_reader(dir.path());
    EXPECT_EQ(read_all(*reader), simulation.rows());
    EXPECT_EQ(*reader->row_count(), simulation.rows().size());
    EXPECT_EQ(*reader->producers(), *store->producers());
    Result<std::vector<LedgerEntry>> ledger = reader->ledger();
    ASSERT_THAT(ledger, IsOk());
    for (const LedgerEntry& entry : *ledger) EXPECT_TRUE(entry.ok());
    if (HasFailure()) return;
  }
}

TEST(Store, MergesTheRowsOfASlowLoggerIntoFewChunks) {
  const test::TempDir dir;
  const auto store = open_store(dir.path());
  for (uint64_t i = 0; i < 2 * kChunkRowsMax + 100; ++i) {
    ASSERT_THAT(store->write(loss_commit(i, 1), false), IsOk());
  }
  ASSERT_THAT(store->close_chunks(1), IsOk());
  const auto reader = open_reader(dir.path());
  EXPECT_EQ(read_all(*reader).size(), 2 * kChunkRowsMax + 100);
  EXPECT_GE(chunk_rows_max(*reader), kChunkRowsMax);
  // Each row was written at most four times: alone, in a small merge, in the full chunk.
  EXPECT_LE(store->counters().rows_merged, 3 * store->counters().rows);
}

// Bytes of the store's files of one sort.
size_t size_of_files(const std::string& dir, const std::string& suffix) {
  size_t size = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir + "/store")) {
    if (entry.path().extension() == suffix) size += entry.file_size();
  }
  return size;
}

TEST(Store, ATidiedStoreHoldsEachRowOnce) {
  const test::TempDir dir;
  auto store = open_store(dir.path());
  const auto log_slowly = [&](uint64_t seq, uint64_t rows) {
    for (uint64_t i = seq; i < seq + rows; ++i) {
      ASSERT_THAT(store->write(loss_commit(i, 1), false), IsOk());
    }
    ASSERT_THAT(store->close_chunks(1), IsOk());
    store->tidy();
  };
  log_slowly(0, 3000);
  EXPECT_EQ(size_of_files(dir.path(), ".log"), 0u);
  // With the small chunks and every state of the producer it is many times this.
  const size_t tidy_size = size_of_files(dir.path(), ".ldb");
  EXPECT_LE(tidy_size, 3000 * 10);
  // Also when there is a table already, and in a store that was closed meanwhile.
  log_slowly(3000, 3000);
  EXPECT_LE(size_of_files(dir.path(), ".ldb"), 2 * 3000 * 10);
  store.reset();
  store = open_store(dir.path());
  log_slowly(6000, 3000);
  EXPECT_LE(size_of_files(dir.path(), ".ldb"), 3 * 3000 * 10);
  store.reset();
  EXPECT_EQ(read_all(*open_reader(dir.path())).size(), 9000u);
}

TEST(Store, KeepsItsAgeWhenOnlyWatermarksAreWritten) {
  const test::TempDir dir;
  auto store = open_store(dir.path());
  ASSERT_THAT(store->write(loss_commit(0, 10), false), IsOk());
  store.reset();
  const std::string folder = dir.path() + "/store";
  set_written_ns(folder, 1'000'000'007);
  const auto forward = [&] {
    store = open_store(dir.path());
    ASSERT_THAT(store->put_sink_state("sink", {.rows = 10}), IsOk());
    ASSERT_THAT(store->sync(), IsOk());
    store->tidy();
  };
  forward();
  EXPECT_GT(written_ns(folder), 1'000'000'007);
  store.reset();
  EXPECT_EQ(written_ns(folder), 1'000'000'007);
  forward();
  ASSERT_THAT(store->write(loss_commit(10, 1), false), IsOk());
  store.reset();
  EXPECT_GT(written_ns(folder), 1'000'000'007);
}

TEST(Store, WritesTheRowsOfAFastLoggerOnce) {
  const test::TempDir dir;
  const auto store = open_store(dir.path());
  for (uint64_t i = 0; i < 20; ++i) {
    ASSERT_THAT(store->write(loss_commit(i * 5000, 5000), false), IsOk());
  }
  EXPECT_EQ(store->counters().rows, 100'000U);
  EXPECT_EQ(store->counters().rows_merged, 0U);
  EXPECT_EQ(store->counters().chunks, 40U);
}

TEST(Store, BoundsTheRowsItKeepsInMemoryForMerging) {
  const test::TempDir dir;
  const auto store = open_store(dir.path());
  // Many lanes with wide rows: together more than the budget.
  KeySet wide{.id = 1, .columns = {}};
  for (int i = 0; i < 1000; ++i) wide.columns.push_back({"m" + std::to_string(i)});
  const std::vector<uint64_t> cells(1000, bits_of(1.5));
  for (uint64_t round = 0; round < 8; ++round) {
    Commit commit;
    commit.key_sets.push_back(wide);
    for (uint32_t producer = 1; producer <= 64; ++producer) {
      RowBlock block({producer, 0}, wide);
      for (uint64_t i = 0; i < 8; ++i) block.add_row(round * 8 + i, i, 0, cells);
      commit.blocks.push_back(std::move(block));
    }
    ASSERT_THAT(store->write(commit, false), IsOk());
  }
  // 64 lanes × 64 rows × 8 KB are 33 MB: some were closed on the way.
  EXPECT_GT(store->counters().rows_merged, 0U);
  const auto reader = open_reader(dir.path());
  EXPECT_EQ(*reader->row_count(), 64U * 64U);
}

TEST(Store, KeepsRowsThatGoBackInOrder) {
  const test::TempDir dir;
  const auto store = open_store(dir.path());
  ASSERT_THAT(store->write(loss_commit(100, 10), false), IsOk());
  ASSERT_THAT(store->write(loss_commit(0, 10), false), IsOk());
  ASSERT_THAT(store->close_chunks(1), IsOk());
  EXPECT_EQ(read_all(*open_reader(dir.path())).size(), 20U);
}

TEST(Store, ShowsNothingOfACommitThatCannotBeStored) {
  const test::TempDir dir;
  const auto store = open_store(dir.path());
  ASSERT_THAT(store->write(loss_commit(0, 10), false), IsOk());

  Commit unknown = loss_commit(10, 10);
  unknown.blocks[0].key_set = 9;
  EXPECT_THAT(store->write(unknown, false),
              FailsWith(Code::kInvalidArgument, HasSubstr("unknown key set 9")));
  Commit odd = loss_commit(10, 10);
  odd.blocks[0].cells.pop_back();
  EXPECT_THAT(store->write(odd, false), FailsWith(Code::kInvalidArgument, HasSubstr("shape")));
  Commit falling = loss_commit(10, 10);
  falling.blocks[0].seq[5] = 3;
  EXPECT_THAT(store->write(falling, false),
              FailsWith(Code::kInvalidArgument, HasSubstr("does not rise")));
  Commit renamed = loss_commit(10, 10);
  renamed.key_sets[0].columns[0].path = "other";
  EXPECT_THAT(store->write(renamed, false),
              FailsWith(Code::kInvalidArgument, HasSubstr("cannot change")));
  Commit torn = loss_commit(10, 10);
  torn.records.push_back({1, 0, "this is not a message"});
  torn.key_sets.push_back({.id = 2, .columns = {{"x"}}});
  EXPECT_THAT(store->write(torn, false), FailsWith(Code::kInvalidArgument, HasSubstr("record")));
  Commit uses_it = loss_commit(10, 1);
  uses_it.blocks[0].key_set = 2;
  EXPECT_THAT(store->write(uses_it, false), FailsWith(Code::kInvalidArgument));

  ASSERT_THAT(store->write(loss_commit(10, 10), false), IsOk());
  EXPECT_EQ(read_all(*open_reader(dir.path())).size(), 20U);
}

TEST(Store, KeepsBlobsUntilACommitConsumesThem) {
  const test::TempDir dir;
  auto store = open_store(dir.path());
  const std::string bytes(300'000, 'b');
  ASSERT_THAT(store->put_blob({1, 5}, bytes), IsOk());
  store.reset();
  store = open_store(dir.path());
  EXPECT_EQ(*store->get_blob({1, 5}), bytes);
  EXPECT_THAT(store->get_blob({2, 5}), FailsWith(Code::kNotFound));
  Commit commit = loss_commit(0, 1);
  commit.consumed_blobs.push_back({1, 5});
  ASSERT_THAT(store->write(commit, false), IsOk());
  EXPECT_THAT(store->get_blob({1, 5}), FailsWith(Code::kNotFound));
  // What a producer left that was killed before it committed the reference.
  ASSERT_THAT(store->put_blob({1, 8}, bytes), IsOk());
  ASSERT_THAT(store->put_blob({1, UINT64_MAX}, bytes), IsOk());
  ASSERT_THAT(store->put_blob({2, 8}, bytes), IsOk());
  Commit end;
  end.gone = {1};
  ASSERT_THAT(store->write(end, false), IsOk());
  EXPECT_THAT(store->get_blob({1, 8}), FailsWith(Code::kNotFound));
  EXPECT_THAT(store->get_blob({1, UINT64_MAX}), FailsWith(Code::kNotFound));
  EXPECT_EQ(*store->get_blob({2, 8}), bytes);
  EXPECT_THAT(store->put_blob({1, 6}, std::string(kValueBytesMax + 1, 'x')),
              FailsWith(Code::kTooLarge));
}

TEST(Store, KeepsTheStateOfSinksAndOfTheRun) {
  const test::TempDir dir;
  auto store = open_store(dir.path());
  EXPECT_EQ(*store->sink_state("jsonl:out"), SinkState());
  EXPECT_EQ(*store->meta(), std::nullopt);
  SinkState sink{
      .chunk_lsn = 7, .record_lsn = 9, .lanes = {{{1, 2}, 300}}, .rows = 12, .cursor = "c"};
  ASSERT_THAT(store->put_sink_state("jsonl:out", sink), IsOk());
  RunMeta meta;
  meta.run_id = "r1";
  meta.project = "demo";
  meta.tags = {"a", "b"};
  meta.command = {"python", "train.py"};
  meta.created_ns = -5;
  meta.state = "running";
  meta.is_synced = true;
  Commit commit;
  commit.meta = meta;
  ASSERT_THAT(store->write(commit, true), IsOk());
  store.reset();
  store = open_store(dir.path());
  EXPECT_EQ(*store->sink_state("jsonl:out"), sink);
  EXPECT_EQ(*store->meta(), meta);
  const auto reader = open_reader(dir.path());
  EXPECT_EQ(*reader->meta(), meta);
  EXPECT_EQ(reader->sinks()->at("jsonl:out"), sink);
}

TEST(Store, ReturnsEveryFieldOfAProducer) {
  const test::TempDir dir;
  const auto store = open_store(dir.path());
  ProducerState producer{.producer = 3,
                         .rank = -1,
                         .attempt = 2,
                         .worker = 4,
                         .pid = 77,
                         .pid_start = UINT64_MAX,
                         .host = "h",
                         .state = "crashed",
                         .exit_code = -3,
                         .signal = 9,
                         .cause = "killed by somebody",
                         .started_ns = 1,
                         .ended_ns = 2,
                         .segment = "abc",
                         .rings = {{.position = 1,
                                    .next_seq = 2,
                                    .drained_seq = 9,
                                    .stored = 3,
                                    .dropped = 4,
                                    .missing = 5,
                                    .key_sets = {{64, 1}, {65, 2}},
                                    .poisoned = "why"}},
                         .next_step = 8,
                         .local_rank = -1,
                         .world_size = 16,
                         .is_end_unread = true,
                         .lost_records = 7,
                         .said_end = SaidEnd{-3, 9, true}};
  Commit commit;
  commit.producers.push_back(producer);
  ASSERT_THAT(store->write(commit, false), IsOk());
  EXPECT_EQ(store->producers()->at(0), producer);
}

TEST(Store, KeepsATenMegabyteText) {
  const test::TempDir dir;
  const auto store = open_store(dir.path());
  const KeySet keys{.id = 1, .columns = {{"text", ColumnType::kOther}}};
  Commit commit;
  commit.key_sets.push_back(keys);
  RowBlock block({1, 0}, keys);
  const std::string text = text_value(std::string(10 << 20, 'x'));
  const std::string_view view(text);
  for (uint64_t i = 0; i < 3; ++i) block.add_row(i, i, 0, {}, std::span(&view, 1));
  commit.blocks.push_back(block);
  ASSERT_THAT(store->write(commit, false), IsOk());
  const PlainRows rows = read_all(*open_reader(dir.path()));
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows.begin()->second.bytes[0], text);
}

TEST(Store, RefusesASecondWriterByName) {
  const test::TempDir dir;
  // The second process starts before the first one opens, because a child inherits open files.
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    if (::read(ready[0], &byte, 1) != 1) ::_exit(2);
    Result<std::unique_ptr<Store>> second = Store::open(dir.path());
    const std::string holder = "(process " + std::to_string(::getppid()) + ")";
    const bool is_named = !second && second.error().code == Code::kIo &&
                          second.error().message.find(holder) != std::string::npos;
    ::_exit(is_named ? 0 : 1);
  }
  const auto store = open_store(dir.path());
  EXPECT_THAT(Store::open(dir.path()), FailsWith(Code::kIo, HasSubstr("(this process)")));
  ASSERT_EQ(::write(ready[1], "x", 1), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(Store, SamplesOfTheMachineComeBackInTheirOrder) {
  const test::TempDir dir;
  const auto store = open_store(dir.path());
  EXPECT_TRUE(open_reader(dir.path())->last_stats()->empty());
  constexpr int64_t kSecond = 1'000'000'000;
  std::vector<Stats> written;
  for (int64_t i = 0; i < 300; ++i) {
    Stats stats;
    stats.names = {"cpu", "gpu.0.gpu"};
    stats.times_ns = {i * 10 * kSecond, i * 10 * kSecond + 1};
    stats.values = {static_cast<double>(i), std::nan(""), 2, 3};
    stats.gpus = {{0, "GPU-1", "a GPU", {0, static_cast<int32_t>(i)}}};
    Commit commit;
    commit.stats.push_back(stats);
    commit.stats.emplace_back();  // of nothing, which is not kept
    ASSERT_FALSE(commit.empty());
    ASSERT_THAT(store->write(commit, false), IsOk());
    written.push_back(std::move(stats));
  }
  const auto reader = open_reader(dir.path());
  std::vector<Stats> read;
  const auto keep = [&](const Stats& stats) {
    read.push_back(stats);
    return true;
  };
  ASSERT_THAT(reader->for_each_stats(0, keep), IsOk());
  EXPECT_EQ(read, written);
  EXPECT_EQ(*reader->last_stats(), written.back());
  read.clear();
  ASSERT_THAT(reader->for_each_stats(2000 * kSecond, keep), IsOk());
  ASSERT_FALSE(read.empty());
  EXPECT_LE(read.front().times_ns.front(), 2000 * kSecond);
  EXPECT_GE(read.front().times_ns.front(), 2000 * kSecond - kStatsSpanMaxNs);
  EXPECT_EQ(*reader->row_count(), 0u) << "samples are no rows";
}

TEST(Store, SamplesThatDoNotFitTogetherAreCorrupt) {
  Stats stats;
  stats.names = {"a", "b"};
  stats.times_ns = {1};
  stats.values = {1};
  EXPECT_THAT(from_bytes<Stats>(to_bytes(stats)),
              FailsWith(Code::kCorrupt, HasSubstr("1 values of 2 names in 1 samples")));
}

TEST(Store, SaysThatThereIsNoRun) {
  const test::TempDir dir;
  EXPECT_THAT(Store::open(dir.file("none"), {.create = false}),
              FailsWith(Code::kNotFound, HasSubstr(dir.file("none"))));
  EXPECT_THAT(RunReader::open(dir.file("none")), FailsWith(Code::kNotFound, HasSubstr("no run")));
}

TEST(Store, SaysWhereAndWhyAFolderCannotBeMade) {
  const test::TempDir dir;
  std::ofstream(dir.file("file")) << "x";
  EXPECT_THAT(Store::open(dir.file("file/run")), FailsWith(Code::kIo, HasSubstr(dir.file("file"))));
  EXPECT_THAT(Store::open("/proc/ringlog/run"), FailsWith(Code::kIo, HasSubstr("/proc/ringlog")));
}

}  // namespace
}  // namespace ringlog::store
