// A run is read while it is written: every view is one moment of it, and nobody notices.

#include "store/snapshot.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <thread>

#include "store_fixture.h"
#include "watchdog.h"

namespace ringlog::store {
namespace {

namespace fs = std::filesystem;

const KeySet kKeys{.id = 1, .columns = {{"value"}}};

// Commit number `number`: ten rows in each of three lanes, whose cells say where they belong.
Commit numbered_commit(uint64_t number) {
  Commit commit;
  commit.key_sets = {kKeys};
  for (uint32_t producer = 1; producer <= 3; ++producer) {
    RowBlock block({producer, 0}, kKeys);
    for (uint64_t i = 0; i < 10; ++i) {
      const uint64_t seq = number * 10 + i;
      const uint64_t cell = seq * 0x9e37'79b9'7f4a'7c15 + producer;  // does not compress
      block.add_row(seq, seq, static_cast<int64_t>(seq), std::span(&cell, 1));
    }
    commit.blocks.push_back(std::move(block));
    ProducerState state;
    state.producer = producer;
    state.rings = {{.position = number, .next_seq = number * 10 + 10, .stored = number * 10 + 10}};
    commit.producers.push_back(state);
  }
  return commit;
}

// The view holds all rows of the first commits and nothing of later ones; returns how many.
uint64_t expect_prefix(RunReader& reader) {
  const std::vector<ProducerState> producers = *reader.producers();
  if (producers.empty()) return 0;
  const uint64_t commits = producers[0].rings[0].position + 1;
  std::map<uint32_t, uint64_t> next;
  Result<uint64_t> visited = reader.for_each_row({}, [&](const RowView& row) {
    const uint32_t producer = row.producer().producer;
    EXPECT_EQ(row.seq(), next[producer]++);
    EXPECT_EQ(row.bits(0), row.seq() * 0x9e37'79b9'7f4a'7c15 + producer);
    return !::testing::Test::HasFailure();
  });
  EXPECT_THAT(visited, IsOk());
  for (const ProducerState& producer : producers) {
    EXPECT_EQ(producer.rings[0].position + 1, commits);
    EXPECT_EQ(next[producer.producer], commits * 10);
  }
  EXPECT_TRUE(reader.damage().empty()) << reader.damage().front();
  return commits;
}

TEST(Snapshot, IsAConsistentPrefixWhileTheStoreIsWrittenAtFullSpeed) {
  const test::Watchdog watchdog;
  const test::TempDir dir;
  // A tiny buffer: a table every few milliseconds, and compactions all the time.
  const auto store = open_store(dir.path(), {.write_buffer_size = 64 << 10});
  std::atomic<uint64_t> written{0};
  std::jthread writer([&](const std::stop_token& enough) {
    for (uint64_t number = 0; !enough.stop_requested(); ++number) {
      if (!store->write(numbered_commit(number), false)) break;
      written = number + 1;
    }
  });
  uint64_t last = 0;
  std::unique_ptr<RunReader> reader = open_reader(dir.path());
  // Where reading is slow and writing is not, a few views take as long as all of them elsewhere.
  constexpr uint64_t kCommitsMax = 5000;
  for (int i = 0; i < 40 && last < kCommitsMax && !HasFailure(); ++i) {
    const uint64_t before = written;
    if (i % 3 == 0) {
      reader = open_reader(dir.path());
    } else {
      const Status refreshed = reader->refresh();
      EXPECT_THAT(refreshed, IsOk());
    }
    const uint64_t commits = expect_prefix(*reader);
    EXPECT_GE(commits, before);  // whatever was stored before is seen
    EXPECT_GE(commits, last);
    last = commits;
  }
  writer.request_stop();
  writer.join();
  EXPECT_GT(last, 100U);
  EXPECT_EQ(expect_prefix(*open_reader(dir.path())), written);
}

TEST(Snapshot, OutlivesTheFilesItWasTakenFrom) {
  const test::TempDir dir;
  std::unique_ptr<RunReader> reader;
  {
    const auto store = open_store(dir.path(), {.write_buffer_size = 64 << 10});
    for (uint64_t i = 0; i < 500; ++i) {
      ASSERT_THAT(store->write(numbered_commit(i), false), IsOk());
    }
    reader = open_reader(dir.path());
  }
  fs::remove_all(dir.file("store"));
  EXPECT_EQ(expect_prefix(*reader), 500U);
  EXPECT_THAT(reader->refresh(), FailsWith(Code::kNotFound));
  EXPECT_EQ(expect_prefix(*reader), 500U);  // the old view stays
}

TEST(Snapshot, ChangesNothingInTheFolder) {
  const test::TempDir dir;
  {
    const auto store = open_store(dir.path(), {.write_buffer_size = 64 << 10});
    for (uint64_t i = 0; i < 300; ++i) {
      ASSERT_THAT(store->write(numbered_commit(i), false), IsOk());
    }
  }
  const auto listing = [&] {
    std::map<std::string, std::pair<uint64_t, fs::file_time_type>> files;
    for (const auto& entry : fs::recursive_directory_iterator(dir.path())) {
      files[entry.path().string()] = {entry.is_regular_file() ? entry.file_size() : 0,
                                      entry.last_write_time()};
    }
    return files;
  };
  const auto before = listing();
  {
    const auto reader = open_reader(dir.path());
    EXPECT_EQ(expect_prefix(*reader), 300U);
    EXPECT_THAT(reader->refresh(), IsOk());
  }
  EXPECT_EQ(listing(), before);
}

// Runs `body` as a user without any right in the folder but reading; exit code 0: it held.
int as_nobody(const std::function<bool()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(77);
    ::_exit(body() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Snapshot, ReadsAFolderThatItMayNotWrite) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  const test::TempDir dir;
  {
    const auto store = open_store(dir.path());
    for (uint64_t i = 0; i < 100; ++i) {
      ASSERT_THAT(store->write(numbered_commit(i), false), IsOk());
    }
  }
  for (const auto& entry : fs::recursive_directory_iterator(dir.path())) {
    fs::permissions(entry.path(), fs::perms::owner_all | fs::perms::group_read |
                                      fs::perms::others_read | fs::perms::others_exec);
  }
  fs::permissions(dir.path(),
                  fs::perms::owner_all | fs::perms::others_read | fs::perms::others_exec);
  EXPECT_EQ(as_nobody([&] {
              Result<std::unique_ptr<RunReader>> reader = RunReader::open(dir.path());
              return reader && *(*reader)->row_count() == 3000;
            }),
            0);
  // And a service that may not write there says so, and where.
  EXPECT_EQ(as_nobody([&] {
              Result<std::unique_ptr<Store>> store = Store::open(dir.path());
              return !store && store.error().code == Code::kPermission &&
                     store.error().message.find(dir.file("store")) != std::string::npos;
            }),
            0);
  EXPECT_EQ(as_nobody([&] {
              Result<std::unique_ptr<Store>> store = Store::open(dir.file("new/run"));
              return !store && store.error().code == Code::kPermission &&
                     store.error().message.find(dir.file("new")) != std::string::npos;
            }),
            0);
  fs::permissions(dir.file("store"), fs::perms::owner_all);
  EXPECT_EQ(as_nobody([&] {
              Result<std::unique_ptr<RunReader>> reader = RunReader::open(dir.path());
              return !reader && reader.error().code == Code::kPermission;
            }),
            0);
}

}  // namespace
}  // namespace ringlog::store
