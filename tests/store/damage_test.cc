// Half-written and damaged stores: a clear error or a repaired store, for the service and for
// readers.

#include <gtest/gtest.h>
#include <leveldb/db.h>
#include <leveldb/env.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <utility>

#include "store/database.h"
#include "store/limits.h"
#include "store_fixture.h"

namespace ringlog::store {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::vector<fs::path> files_in(const std::string& folder, const std::string& ending) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().ends_with(ending)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<fs::path> files_with(const std::string& run, const std::string& ending) {
  return files_in(run + "/store", ending);
}

fs::path manifest_of(const std::string& run) {
  for (const auto& entry : fs::directory_iterator(run + "/store")) {
    if (entry.path().filename().string().starts_with("MANIFEST-")) return entry.path();
  }
  throw std::runtime_error("no manifest");
}

void overwrite(const fs::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

void flip_byte(const fs::path& file, uint64_t at) {
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekg(static_cast<std::streamoff>(at));
  const char byte = static_cast<char>(stream.get());
  stream.seekp(static_cast<std::streamoff>(at));
  stream.put(static_cast<char>(byte ^ 0x55));
}

// A run with several tables and rows in the log.
class Damage : public ::testing::Test {
 protected:
  Damage() : simulation_(7) {
    const auto store = open_store(dir_.path(), {.write_buffer_size = 64 << 10});
    for (int i = 0; i < 60; ++i) {
      if (!store->write(simulation_.next(60), false)) throw std::runtime_error("write");
    }
  }

  // Both sides open the damaged run; whatever they then show was stored once.  The reader goes
  // first: it must not change anything.
  void expect_survives(const std::string& what, bool loses_nothing = false) {
    SCOPED_TRACE(what);
    const std::vector<std::string> before = listing();
    {
      const auto reader = open_reader(dir_.path());
      EXPECT_FALSE(reader->damage().empty());
      expect_part(read_all(*reader), loses_nothing);
    }
    EXPECT_EQ(listing(), before);
    {
      const auto store = open_store(dir_.path());
      ASSERT_FALSE(store->repaired().empty());
      EXPECT_THAT(store->repaired().front(), HasSubstr("orruption"));
      Commit more = simulation_.next(30);
      for (uint32_t id = 1; id <= 4; ++id) more.key_sets.push_back(simulation_.keys(id));
      ASSERT_THAT(store->write(more, true), IsOk());
    }
    const auto reader = open_reader(dir_.path());
    EXPECT_TRUE(reader->damage().empty());
    expect_part(read_all(*reader), loses_nothing);
    // It stays repaired.
    EXPECT_TRUE(open_store(dir_.path())->repaired().empty());
  }

  void expect_part(const PlainRows& rows, bool all) {
    for (const auto& [key, row] : rows) {
      ASSERT_TRUE(simulation_.rows().contains(key));
      ASSERT_EQ(simulation_.rows().at(key), row);
    }
    EXPECT_TRUE(!all || rows.size() == simulation_.rows().size()) << rows.size();
  }

  std::vector<std::string> listing() {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(dir_.path())) {
      names.push_back(entry.path().string() + " " +
                      (entry.is_regular_file() ? std::to_string(entry.file_size()) : "dir"));
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  const test::TempDir dir_;
  Simulation simulation_;
};

TEST_F(Damage, MissingCurrentLosesNothing) {
  fs::remove(dir_.file("store/CURRENT"));
  expect_survives("no CURRENT", /*loses_nothing=*/true);
}

TEST_F(Damage, EmptyCurrentLosesNothing) {
  overwrite(dir_.file("store/CURRENT"), "");
  expect_survives("empty CURRENT", /*loses_nothing=*/true);
}

TEST_F(Damage, CurrentWithGarbageLosesNothing) {
  overwrite(dir_.file("store/CURRENT"), "../../etc/passwd\n");
  expect_survives("garbage CURRENT", /*loses_nothing=*/true);
}

TEST_F(Damage, MissingManifestLosesNothing) {
  fs::remove(manifest_of(dir_.path()));
  expect_survives("no MANIFEST", /*loses_nothing=*/true);
}

TEST_F(Damage, EmptyManifestLosesNothing) {
  overwrite(manifest_of(dir_.path()), "");
  expect_survives("empty MANIFEST", /*loses_nothing=*/true);
}

TEST_F(Damage, ManifestWithGarbageLosesNothing) {
  overwrite(manifest_of(dir_.path()), std::string(5000, '\x5a'));
  expect_survives("garbage MANIFEST", /*loses_nothing=*/true);
}

TEST_F(Damage, TruncatedTableLosesThatTable) {
  const fs::path table = files_with(dir_.path(), ".ldb").front();
  fs::resize_file(table, fs::file_size(table) / 2);
  expect_survives("truncated table");
}

TEST_F(Damage, EmptyTableLosesThatTable) {
  overwrite(files_with(dir_.path(), ".ldb").front(), "");
  expect_survives("empty table");
}

TEST_F(Damage, MissingTableLosesThatTable) {
  fs::remove(files_with(dir_.path(), ".ldb").front());
  expect_survives("missing table");
}

TEST_F(Damage, MissingLogLosesWhatWasInNoTableAndThatIsSaid) {
  for (const fs::path& log : files_with(dir_.path(), ".log")) fs::remove(log);
  {
    const auto reader = open_reader(dir_.path());
    ASSERT_EQ(reader->damage().size(), 1U);
    EXPECT_THAT(reader->damage().front(), HasSubstr("the log is missing"));
    const PlainRows rows = read_all(*reader);
    expect_part(rows, false);
    EXPECT_LT(rows.size(), simulation_.rows().size());
  }
  const auto store = open_store(dir_.path());
  EXPECT_THAT(store->repaired(), ::testing::ElementsAre(HasSubstr("the log is missing")));
  EXPECT_THAT(RunReader::open(dir_.path()), IsOk());
}

TEST(MissingLog, OfARunThatHadNoTableYetIsNoNewRun) {
  const test::TempDir dir;
  Simulation simulation(8);
  { ASSERT_THAT(open_store(dir.path())->write(simulation.next(20), true), IsOk()); }
  for (const fs::path& log : files_with(dir.path(), ".log")) fs::remove(log);
  EXPECT_THAT(RunReader::open(dir.path()), FailsWith(Code::kCorrupt, HasSubstr("log is missing")));
  const auto store = open_store(dir.path());
  EXPECT_THAT(store->repaired(), ::testing::ElementsAre(HasSubstr("the log is missing")));
}

TEST_F(Damage, IsToldInWordsOfTheFolderAndNotOfTheView) {
  fs::remove(dir_.file("store/CURRENT"));
  const auto reader = open_reader(dir_.path());
  EXPECT_THAT(reader->damage(), ::testing::ElementsAre(HasSubstr("CURRENT is missing or empty"),
                                                       HasSubstr("put together again from")));
}

TEST_F(Damage, GarbageInALogLosesTheRestOfThatLog) {
  const fs::path log = files_with(dir_.path(), ".log").back();
  ASSERT_GT(fs::file_size(log), 200U);
  for (uint64_t at = 50; at < 120; ++at) flip_byte(log, at);
  expect_survives("garbage in the log");
}

TEST_F(Damage, TruncatedLogIsAnOrdinaryCrash) {
  const fs::path log = files_with(dir_.path(), ".log").back();
  fs::resize_file(log, fs::file_size(log) - 10);
  const auto reader = open_reader(dir_.path());
  EXPECT_TRUE(reader->damage().empty());
  expect_part(read_all(*reader), false);
  const auto store = open_store(dir_.path());
  EXPECT_TRUE(store->repaired().empty());
}

TEST_F(Damage, AFlippedBitInATableIsNoticedWhenItIsRead) {
  const std::vector<fs::path> tables = files_with(dir_.path(), ".ldb");
  flip_byte(tables.front(), fs::file_size(tables.front()) / 3);
  const auto reader = open_reader(dir_.path());
  uint64_t read = 0;
  Result<uint64_t> visited = reader->for_each_row({}, [&](const RowView&) {
    ++read;
    return true;
  });
  if (!visited) {
    EXPECT_EQ(visited.error().code, Code::kCorrupt) << visited.error().message;
    EXPECT_THAT(visited.error().message, HasSubstr(dir_.path()));
  }
  EXPECT_LE(read, simulation_.rows().size());
}

TEST_F(Damage, AnyDamageIsAnErrorOrARepairAndNeverACrash) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  for (int round = 0; round < 30; ++round) {
    const test::TempDir copy;
    fs::copy(dir_.path(), copy.path(), fs::copy_options::recursive);
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(copy.file("store"))) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    for (uint64_t i = 0; i <= random.below(3); ++i) {
      const fs::path& file = files[random.below(files.size())];
      std::error_code gone;
      const uint64_t size = fs::file_size(file, gone);
      if (gone) continue;
      const uint64_t kind = random.below(4);
      if (kind == 0) fs::remove(file);
      if (kind == 1) fs::resize_file(file, random.below(size + 1));
      if (kind == 2 && size > 0) flip_byte(file, random.below(size));
      if (kind == 3)
        overwrite(file, std::string(random.below(5000), static_cast<char>(random.bits())));
    }
    // Whatever they answer: they answer.
    if (Result<std::unique_ptr<RunReader>> reader = RunReader::open(copy.path()); reader) {
      (void)(*reader)->for_each_row({}, [](const RowView&) { return true; });
      (void)(*reader)->ledger();
      (void)(*reader)->summary();
      (void)(*reader)->series({.metric = "m0", .max_points = 10});
    } else {
      EXPECT_THAT(reader.error().message, HasSubstr(copy.path()));
    }
    if (Result<std::unique_ptr<Store>> store = Store::open(copy.path()); store) {
      (void)(*store)->write(Commit{.key_sets = {simulation_.keys(1)}}, false);
    } else {
      EXPECT_THAT(store.error().message, HasSubstr(copy.path()));
    }
  }
}

TEST_F(Damage, GarbageAloneIsRefusedByName) {
  const test::TempDir dir;
  fs::create_directories(dir.file("store"));
  overwrite(dir.file("store/CURRENT"), "MANIFEST-000002\n");
  overwrite(dir.file("store/MANIFEST-000002"), "garbage");
  overwrite(dir.file("store/000003.log"), "garbage");
  // Nothing of it can be read, so what remains is an empty store.
  EXPECT_THAT(RunReader::open(dir.path()), FailsWith(Code::kCorrupt, HasSubstr("nothing of it")));
  EXPECT_THAT(Store::open(dir.path()), IsOk());
}

// Merges all tables of a database while somebody looks at the first of them.
class CompactingEnv final : public leveldb::EnvWrapper {
 public:
  explicit CompactingEnv(leveldb::DB& db) : EnvWrapper(leveldb::Env::Default()), db_(db) {}

  leveldb::Status GetFileSize(const std::string& file, uint64_t* size) override {
    if (!std::exchange(has_compacted_, true)) db_.CompactRange(nullptr, nullptr);
    return EnvWrapper::GetFileSize(file, size);
  }

 private:
  leveldb::DB& db_;
  bool has_compacted_ = false;
};

// Found under a sanitizer: a store was refused, or repaired, because a table that LevelDB had just
// merged into others was gone.
TEST(DamagedTables, AreNotThoseThatACompactionRemovesMeanwhile) {
  const test::TempDir dir;
  leveldb::Options options;
  options.create_if_missing = true;
  leveldb::DB* opened = nullptr;
  ASSERT_TRUE(leveldb::DB::Open(options, dir.file("db"), &opened).ok());
  const std::unique_ptr<leveldb::DB> db(opened);
  for (const char* value : {"old", "new"}) {
    ASSERT_TRUE(db->Put({}, "a", value).ok());
    ASSERT_TRUE(db->Put({}, "z", value).ok());
    db->CompactRange(nullptr, nullptr);  // writes the table
  }
  ASSERT_TRUE(db->Put({}, "b", "newest").ok());
  CompactingEnv env(*db);
  EXPECT_EQ(damaged_tables(*db, env, dir.file("db")), std::vector<std::string>());

  const std::vector<fs::path> tables = files_in(dir.file("db"), ".ldb");
  ASSERT_FALSE(tables.empty());
  fs::resize_file(tables.back(), 1);
  EXPECT_EQ(damaged_tables(*db, env, dir.file("db")).size(), 1u);
}

TEST(Format, AnotherVersionIsRefusedAndBothAreNamed) {
  const test::TempDir dir;
  { open_store(dir.path()); }
  {
    leveldb::DB* db = nullptr;
    ASSERT_TRUE(leveldb::DB::Open({}, dir.file("store"), &db).ok());
    ASSERT_TRUE(db->Put({}, std::string(1, '\x01'), std::string("\0\0\0\x63", 4)).ok());
    delete db;
  }
  for (const Error& error :
       {Store::open(dir.path()).take_error(), RunReader::open(dir.path()).take_error()}) {
    EXPECT_EQ(error.code, Code::kVersion);
    EXPECT_THAT(error.message, HasSubstr("version 99"));
    EXPECT_THAT(error.message, HasSubstr("version " + std::to_string(kFormatVersion)));
    EXPECT_THAT(error.message, HasSubstr(dir.file("store")));
  }
}

TEST(Format, ADatabaseOfSomebodyElseIsRefused) {
  const test::TempDir dir;
  fs::create_directories(dir.path());
  leveldb::Options options;
  options.create_if_missing = true;
  leveldb::DB* db = nullptr;
  ASSERT_TRUE(leveldb::DB::Open(options, dir.file("store"), &db).ok());
  ASSERT_TRUE(db->Put({}, "key", "value").ok());
  delete db;
  EXPECT_THAT(Store::open(dir.path()), FailsWith(Code::kVersion, HasSubstr("no format version")));
  EXPECT_THAT(RunReader::open(dir.path()), FailsWith(Code::kVersion));
}

TEST(Format, ARunThatIsBeingCreatedIsNotThereYet) {
  const test::TempDir dir;
  fs::create_directories(dir.file("store"));
  EXPECT_THAT(RunReader::open(dir.path()), FailsWith(Code::kNotFound));
  // LevelDB's first step.
  std::ofstream(dir.file("store/MANIFEST-000001")) << "half";
  EXPECT_THAT(RunReader::open(dir.path()), FailsWith(Code::kNotFound));
  {
    const auto store = Store::open(dir.path());
    ASSERT_THAT(store, IsOk());
    EXPECT_THAT((*store)->repaired(), ::testing::IsEmpty()) << "nothing was there to lose";
  }
  fs::remove_all(dir.file("store"));
  leveldb::Options options;
  options.create_if_missing = true;
  leveldb::DB* db = nullptr;
  ASSERT_TRUE(leveldb::DB::Open(options, dir.file("store"), &db).ok());
  EXPECT_THAT(RunReader::open(dir.path()), FailsWith(Code::kNotFound));
  delete db;
  EXPECT_THAT(Store::open(dir.path()), IsOk());  // and a service goes on from there
}

}  // namespace
}  // namespace ringlog::store
