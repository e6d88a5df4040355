// What a program with a service inside left when it was killed, under a service that runs.

#include "daemon/leftovers.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>

#include "service_fixture.h"

namespace ringlog::service {
namespace {

namespace fs = std::filesystem;

// A process that has ended and of which nobody has asked how.
class Zombie {
 public:
  Zombie() : pid_(::fork()) {
    if (pid_ == 0) ::_exit(3);
    siginfo_t info{};
    EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT), 0);
    const auto start = shm::process_start_time(pid_);
    EXPECT_THAT(start, IsOk());
    start_ = *start;
  }
  ~Zombie() { ::waitpid(pid_, nullptr, 0); }
  Zombie(const Zombie&) = delete;
  Zombie& operator=(const Zombie&) = delete;

  pid_t pid() const { return pid_; }
  uint64_t start() const { return start_; }

 private:
  pid_t pid_;
  uint64_t start_ = 0;
};

// Otherwise it would be found out that the run has a process without a segment, and its large
// records would be deleted as those of nobody.
TEST_F(ServiceTest, WhatAKilledProgramLeftOfARunIsThereWhenTheRunIsOpened) {
  const Zombie program;
  const std::string left = runtime_ + "/in-process/" + std::to_string(program.pid()) + "-" +
                           std::to_string(program.start());
  fs::create_directories(left + "/segments");
  for (const auto& folder : {runtime_ + "/in-process", left, left + "/segments"}) {
    fs::permissions(folder, fs::perms::owner_all);
  }
  shm::SegmentSpec spec;
  spec.run_id = "run";
  spec.project = "project";
  spec.root = root_;
  spec.producer_id = 1;
  spec.pid = program.pid();
  spec.pid_start = program.start();
  spec.first_ring_bytes = spec.later_ring_bytes = shm::kRingBytesMin;
  auto segment = shm::create_segment({left + "/segments"}, spec);
  ASSERT_THAT(segment, IsOk());
  const std::string text(200'000, 'x');
  const auto words = record::encode_free_row(0, 1, std::array{Item{"t", Value(text)}});
  {
    auto store = store::Store::open(root_ + "/project/run");
    ASSERT_THAT(store, IsOk());
    auto found = read_segment(std::move(segment->fd), segment->path);
    ASSERT_THAT(found, IsOk());
    store::Commit commit;
    commit.meta.emplace();
    commit.meta->run_id = "run";
    commit.producers.push_back(state_of(found->header));
    ASSERT_THAT((*store)->write(commit, true), IsOk());
    const auto bytes = record::as_bytes(words);
    ASSERT_THAT(
        (*store)->put_blob({1, 5}, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}),
        IsOk());
    Producer process(std::move(found->fd));
    ASSERT_TRUE(
        process.write(0, make_record(record::encode_blob(5, words.size() * 8, 1),
                                     process.ring(0).take_seq(), shm::kFlagRow | shm::kFlagBlob)));
  }
  Connection connection(runtime_);
  const auto next = join(connection, "run");
  EXPECT_EQ(next->segment().header().producer_id, 2u);
  barrier(connection, "run");
  const auto entries = ledger("run");
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries.at(0).producer.state, "failed");
  EXPECT_EQ(entries.at(0).stored, 1u);
  EXPECT_TRUE(entries.at(0).ok());
  EXPECT_FALSE(fs::exists(left));
}

}  // namespace
}  // namespace ringlog::service
