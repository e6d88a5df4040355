// Bad disks: an error is said, nothing is stored twice or in part, and writing goes on afterwards.

#include <gtest/gtest.h>

#include <filesystem>

#include "faulty_env.h"
#include "store/durable_env.h"
#include "store_fixture.h"

namespace ringlog::store {
namespace {

using ::testing::HasSubstr;

// Writes a commit, again and again until it is stored; `recover` mends the disk.
template <typename Recover>
int write_until_stored(Store& store, const Commit& commit, bool sync, Recover recover) {
  int failures = 0;
  while (true) {
    Status written = store.write(commit, sync);
    if (written) return failures;
    EXPECT_EQ(written.error().code, Code::kIo) << written.error().message;
    ++failures;
    if (failures > 100) throw std::runtime_error("never stored: " + written.error().message);
    recover();
  }
}

TEST(FullDisk, SurfacesAsAnErrorAndALaterWriteSucceeds) {
  const test::TempDir dir;
  FaultyEnv env;
  Simulation simulation(1);
  const auto store = open_store(dir.path(), {.env = &env});
  ASSERT_THAT(store->write(simulation.next(100), false), IsOk());
  env.set_room(100);
  const Commit commit = simulation.next(500);
  EXPECT_THAT(store->write(commit, false),
              FailsWith(Code::kIo, HasSubstr("No space left on device")));
  EXPECT_THAT(store->write(commit, false), FailsWith(Code::kIo, HasSubstr("No space left")));
  EXPECT_THAT(store->sync(), FailsWith(Code::kIo, HasSubstr("written again first")));
  EXPECT_THAT(store->write(Commit{.ended = {1}}, false),
              FailsWith(Code::kIo, HasSubstr("must be written first")));
  env.set_unlimited();
  ASSERT_THAT(store->write(commit, false), IsOk());
  ASSERT_THAT(store->write(simulation.next(500), true), IsOk());
  EXPECT_EQ(read_all(*open_reader(dir.path())), simulation.rows());
}

TEST(FullDisk, AtAnyByteNeverLosesOrRepeatsARow) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  for (uint64_t round = 0; round < 25; ++round) {
    const test::TempDir dir;
    FaultyEnv env;
    Simulation simulation(seed + round);
    auto store = open_store(dir.path(), {.env = &env, .write_buffer_size = 64 << 10});
    for (int i = 0; i < 30; ++i) {
      if (simulation.random().one_in(3)) {
        env.set_room(static_cast<int64_t>(simulation.random().below(200'000)));
      }
      const Commit commit = simulation.next(200);
      write_until_stored(*store, commit, simulation.random().one_in(4), [&] {
        // Sometimes there is some room, sometimes enough.
        if (simulation.random().one_in(3)) {
          env.set_unlimited();
        } else {
          env.set_room(static_cast<int64_t>(simulation.random().below(300'000)));
        }
      });
      if (simulation.random().one_in(10)) {
        env.set_unlimited();
        store.reset();
        store = open_store(dir.path(), {.env = &env, .write_buffer_size = 64 << 10});
      }
    }
    store.reset();
    EXPECT_EQ(read_all(*open_reader(dir.path())), simulation.rows());
    if (HasFailure()) return;
  }
}

TEST(BrokenSync, StoresACommitOnceThoughItsSyncFailed) {
  const test::TempDir dir;
  FaultyEnv env;
  Simulation simulation(3);
  const auto store = open_store(dir.path(), {.env = &env});
  for (int i = 0; i < 5; ++i) {
    const Commit commit = simulation.next(50);
    env.fail_syncs(true);
    EXPECT_THAT(store->write(commit, true), FailsWith(Code::kIo));
    EXPECT_THAT(store->write(commit, true), FailsWith(Code::kIo));
    env.fail_syncs(false);
    ASSERT_THAT(store->write(commit, true), IsOk());
  }
  EXPECT_EQ(read_all(*open_reader(dir.path())), simulation.rows());
  EXPECT_EQ(store->counters().rows, simulation.rows().size());
}

TEST(FullDisk, RefusesABlobAndTakesItLater) {
  const test::TempDir dir;
  FaultyEnv env;
  Simulation simulation(4);
  const auto store = open_store(dir.path(), {.env = &env});
  env.set_room(1000);
  EXPECT_THAT(store->put_blob({1, 1}, std::string(100'000, 'b')), FailsWith(Code::kIo));
  env.set_unlimited();
  ASSERT_THAT(store->put_blob({1, 1}, "small"), IsOk());
  ASSERT_THAT(store->write(simulation.next(100), false), IsOk());
  EXPECT_EQ(*store->get_blob({1, 1}), "small");
  EXPECT_EQ(read_all(*open_reader(dir.path())), simulation.rows());
}

// The blobs of a process that is gone are looked for before anything is written.
TEST(FullDisk, ThatIsMendedTakesTheEndOfAProcessAsItsFirstWrite) {
  const test::TempDir dir;
  FaultyEnv env;
  Simulation simulation(5);
  const auto store = open_store(dir.path(), {.env = &env});
  ASSERT_THAT(store->put_blob({1, 1}, "left behind"), IsOk());
  env.set_room(0);
  for (int i = 0; i < 2; ++i) {  // the second one finds that it cannot be opened again either
    EXPECT_THAT(store->put_blob({1, 2}, "refused"), FailsWith(Code::kIo));
  }
  Commit commit = simulation.next(100);
  commit.gone = {1};
  EXPECT_THAT(store->write(commit, false), FailsWith(Code::kIo, HasSubstr("No space left")));
  env.set_unlimited();
  ASSERT_THAT(store->write(commit, false), IsOk());
  EXPECT_THAT(store->get_blob({1, 1}), FailsWith(Code::kNotFound));
  EXPECT_EQ(read_all(*open_reader(dir.path())), simulation.rows());
}

// Makes `to` what a power cut may leave of `from` at this moment: of every file what was synced,
// and a random part of the rest.  The store itself goes on and notices nothing: files that were cut
// under it, while its thread writes and maps them, would be another accident.
void cut_power(FaultyEnv& env, test::Random& random, const std::string& from,
               const std::string& to) {
  namespace fs = std::filesystem;
  const auto paused = env.pause();
  fs::copy(from, to, fs::copy_options::recursive);
  for (const auto& [name, size] : env.synced_sizes()) {
    const std::string copy = to + name.substr(from.size());
    std::error_code error;
    const uint64_t written = fs::file_size(copy, error);
    if (error || written <= size) continue;
    fs::resize_file(copy, size + random.below(written - size + 1));
  }
}

TEST(PowerCut, ASyncCoversTheLogThatLevelDbClosedBefore) {
  const test::TempDir dir;
  FaultyEnv disk;
  DurableEnv env(&disk);
  const auto write_log = [&](const std::string& name) {
    leveldb::WritableFile* file = nullptr;
    EXPECT_TRUE(env.NewWritableFile(dir.file(name), &file).ok());
    EXPECT_TRUE(file->Append("rows").ok());
    return std::unique_ptr<leveldb::WritableFile>(file);
  };
  write_log("000001.log").reset();  // full, and its table is not written yet
  write_log("000002.log").reset();
  const auto newest = write_log("000003.log");
  ASSERT_TRUE(env.RemoveFile(dir.file("000002.log")).ok());  // its table is written
  ASSERT_EQ(disk.synced_sizes().at(dir.file("000001.log")), 0U);
  ASSERT_TRUE(newest->Sync().ok());
  EXPECT_EQ(disk.synced_sizes().at(dir.file("000001.log")), 4U);
  EXPECT_EQ(disk.synced_sizes().at(dir.file("000003.log")), 4U);
}

TEST(PowerCut, KeepsEverythingThatWasSynced) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  for (uint64_t round = 0; round < 20; ++round) {
    const test::TempDir dir;
    const test::TempDir left;
    FaultyEnv env;
    Simulation simulation(seed + round);
    PlainRows synced;
    {
      // A small buffer, so that logs fill up and are replaced between syncs.
      const auto store = open_store(dir.path(), {.env = &env, .write_buffer_size = 64 << 10});
      const uint64_t commits = 5 + simulation.random().below(40);
      for (uint64_t i = 0; i < commits; ++i) {
        const bool sync = simulation.random().one_in(6);
        ASSERT_THAT(store->write(simulation.next(150), sync), IsOk());
        if (sync) synced = simulation.rows();
      }
      cut_power(env, simulation.random(), dir.path(), left.path());
    }
    const auto reader = open_reader(left.path());
    const PlainRows rows = read_all(*reader);
    for (const auto& [key, row] : synced) {
      const auto it = rows.find(key);
      ASSERT_TRUE(it != rows.end()) << "seq " << std::get<2>(key) << " of " << synced.size();
      ASSERT_EQ(it->second, row);
    }
    for (const auto& [key, row] : rows) ASSERT_EQ(simulation.rows().at(key), row);
    // Rows that were not synced may be gone, and not only the newest: two logs are cut on their
    // own. The ledger counts them.
    Result<std::vector<LedgerEntry>> ledger = reader->ledger();
    ASSERT_THAT(ledger, IsOk());
    for (const LedgerEntry& entry : *ledger) {
      EXPECT_EQ(entry.duplicated, 0U);
      EXPECT_EQ(entry.attempted, entry.stored + entry.dropped + entry.missing);
    }
  }
}

}  // namespace
}  // namespace ringlog::store
