// Every export format, byte by byte: a store with fixed content becomes the files of
// tests/golden/export.
//
// A change of a format on purpose: run this test with UPDATE_GOLDEN=1, look at the difference, and
// let scripts/test-ecosystem show that the other tools still read it.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "cli/commands.h"
#include "golden.h"
#include "store/keys.h"
#include "tests/store/lost_key.h"
#include "tests/store/store_fixture.h"

namespace ringlog::cli {
namespace {

namespace fs = std::filesystem;
using store::bits_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kStartNs = 1'790'000'000'000'000'000;

store::ProducerState rank_of(int32_t rank) {
  store::ProducerState producer;
  producer.producer = static_cast<uint32_t>(rank) + 1;
  producer.rank = rank;
  producer.pid = 100 + rank;
  producer.host = "node1";
  producer.state = rank == 0 ? "finished" : "failed";
  producer.exit_code = rank == 0 ? 0 : 3;
  producer.started_ns = kStartNs;
  producer.ended_ns = kStartNs + 9'000'000'000;
  producer.rings.resize(1);
  producer.rings[0].next_seq = producer.rings[0].stored = 3;
  return producer;
}

store::RowBlock rows_of(uint32_t producer, const store::KeySet& keys) {
  store::RowBlock block({producer, 0}, keys);
  const double values[] = {0.1, std::numeric_limits<double>::quiet_NaN(), -1e300};
  for (uint64_t i = 0; i < 3; ++i) {
    const uint64_t cells[] = {bits_of(values[i] * producer), i, i % 2};
    const std::string text = store::text_value("caf\xc3\xa9, \"" + std::to_string(i) + "\"");
    const std::string_view bytes[] = {text};
    block.add_row(i, i * 10, kStartNs + static_cast<int64_t>(i) * 1'500'000'000, cells, bytes);
  }
  return block;
}

store::Commit content() {
  const store::KeySet keys{1,
                           {{"loss", store::ColumnType::kFloat64},
                            {"train\x1f"
                             "count",
                             store::ColumnType::kInt64},
                            {"even", store::ColumnType::kBool},
                            {"sample", store::ColumnType::kOther}}};
  store::Commit commit;
  commit.key_sets = {keys};
  store::RunMeta meta;
  meta.run_id = "golden";
  meta.project = "demo";
  meta.name = "a run";
  meta.tags = {"one", "two"};
  meta.created_ns = kStartNs;
  meta.ended_ns = kStartNs + 10'000'000'000;
  meta.host = "node1";
  meta.command = {"train", "--fast"};
  meta.state = "failed";
  commit.meta = meta;
  for (const int32_t rank : {0, 1}) {
    commit.producers.push_back(rank_of(rank));
    commit.blocks.push_back(rows_of(static_cast<uint32_t>(rank) + 1, keys));
  }
  commit.records.push_back(store::record_entry(1, [](schema::Record::Builder record) {
    auto field = record.initConfig(1)[0];
    field.setKey("lr");
    field.initValue().setFloat64(0.001);
  }));
  commit.records.push_back(store::record_entry(1, [](schema::Record::Builder record) {
    record.setTimeNs(kStartNs + 1);
    auto console = record.initConsole();
    console.setStream(schema::Console::Stream::STDERR);
    console.setData(capnp::Data::Reader(reinterpret_cast<const uint8_t*>("hello\n"), 6));
  }));
  commit.records.push_back(store::record_entry(2, [](schema::Record::Builder record) {
    record.initMetric().setName("loss");
    record.getMetric().initSummary(1).set(0, "min");
  }));
  return commit;
}

std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  if (!fs::exists(folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    files[fs::relative(entry.path(), folder).string()] = {std::istreambuf_iterator<char>(file), {}};
  }
  return files;
}

class ExportGolden : public testing::Test {
 protected:
  void SetUp() override {
    // A service of the person who runs the test is not asked.
    ::setenv("RINGLOG_RUNTIME_DIR", temp_.file("runtime").c_str(), 1);
    const std::string dir = temp_.file("demo/golden");
    fs::create_directories(dir);
    auto store = store::open_store(dir);
    ASSERT_THAT(store->write(content(), true), test::IsOk());
  }

  int run(ExportFormat format, const std::string& name, bool splits_ranks = false) {
    Output out(STDOUT_FILENO, "standard output");
    Context context{temp_.path(), Style{}, false, out};
    return run_export(context, {.run = "golden",
                                .format = format,
                                .path = temp_.file("out/" + name),
                                .splits_ranks = splits_ranks});
  }

  test::TempDir temp_;
  const fs::path golden_ = test::source_dir() / "tests/golden/export";
};

TEST_F(ExportGolden, EveryFormatHasTheBytesItAlwaysHad) {
  fs::create_directory(temp_.file("out"));
  testing::internal::CaptureStderr();
  EXPECT_EQ(run(ExportFormat::kJsonl, "rows.jsonl"), kExitOk);
  EXPECT_EQ(run(ExportFormat::kCsv, "rows.csv"), kExitOk);
  EXPECT_EQ(run(ExportFormat::kTfevents, "tfevents"), kExitOk);
  EXPECT_EQ(run(ExportFormat::kWandb, "offline-run-golden"), kExitOk);
  testing::internal::GetCapturedStderr();
  const auto found = files_of(temp_.file("out"));
  if (test::updates_golden()) {
    fs::remove_all(golden_);
    fs::create_directories(golden_);
    fs::copy(temp_.file("out"), golden_, fs::copy_options::recursive);
  }
  const auto expected = files_of(golden_);
  ASSERT_FALSE(expected.empty()) << golden_;
  for (const auto& [name, bytes] : expected) {
    EXPECT_TRUE(found.contains(name)) << name;
    EXPECT_TRUE(found.contains(name) && found.at(name) == bytes) << name << " differs";
  }
  EXPECT_EQ(found.size(), expected.size());
}

// What cannot be used of the rows shows only when they are read.
TEST_F(ExportGolden, AnExportThatLacksDamagedChunksSaysSoAndFails) {
  fs::create_directory(temp_.file("out"));
  store::lose_key(temp_.file("demo/golden"), store::key::key_set(1));
  for (const auto& [format, name] : {std::pair(ExportFormat::kJsonl, "rows.jsonl"),
                                     std::pair(ExportFormat::kTfevents, "tfevents")}) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(run(format, name), kExitFailed) << name;
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                AllOf(HasSubstr("its key set 1 is missing"), HasSubstr("golden is not exported")));
    EXPECT_TRUE(fs::exists(temp_.file("out/") + name)) << "what can be read is in it";
  }
}

}  // namespace
}  // namespace ringlog::cli
