// One writer per store where locks do not keep others out: flock as file systems without it and
// with a useless one answer, and the claims of machines that cannot be asked.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "faulty_env.h"
#include "shm/posix.h"
#include "store/file_system.h"
#include "store/limits.h"
#include "store_fixture.h"

namespace {

enum class Locks { kReal, kNone, kGrantedTwice };
Locks locks = Locks::kReal;

}  // namespace

// The store's calls come here instead of the C library.
extern "C" int flock(int fd, int operation) noexcept {
  if (locks == Locks::kGrantedTwice) return 0;
  if (locks == Locks::kNone) {
    errno = ENOLCK;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_flock, fd, operation));
}

namespace ringlog::store {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class WriterClaims : public ::testing::Test {
 protected:
  WriterClaims() { std::filesystem::create_directories(dir_.file("store")); }
  ~WriterClaims() override { locks = Locks::kReal; }

  std::string claim() const { return dir_.file("store/WRITER"); }
  bool has_claim() const { return std::filesystem::exists(claim()); }
  // As another machine writes it, `age_ms` ago.
  void claim_from_elsewhere(int64_t age_ms) const {
    std::ofstream(claim()) << "00ff boot 77aa pids 1 pid 4242 started 99 host node17\n";
    const int64_t then_ns = shm::realtime_ns() - age_ms * 1'000'000;
    const timespec time{then_ns / 1'000'000'000, then_ns % 1'000'000'000};
    const timespec times[2] = {time, time};
    ASSERT_EQ(::utimensat(AT_FDCWD, claim().c_str(), times, 0), 0);
  }

  const test::TempDir dir_;
  Simulation simulation_{3};
};

TEST_F(WriterClaims, AreNotMadeWhereTheLockIsEnough) {
  const auto store = open_store(dir_.path());
  EXPECT_THAT(store->lock_weakness(), IsEmpty());
  EXPECT_FALSE(has_claim());
}

TEST_F(WriterClaims, AFileSystemWithoutLocksIsRefusedAndTheWayOutIsSaid) {
  locks = Locks::kNone;
  EXPECT_THAT(
      Store::open(dir_.path()),
      FailsWith(Code::kIo, AllOf(HasSubstr(dir_.file("store")), HasSubstr("has no locks"),
                                 HasSubstr("No locks available"), HasSubstr("RINGLOG_DIR"))));
  EXPECT_TRUE(std::filesystem::is_empty(dir_.file("store"))) << "nothing was written";
}

TEST_F(WriterClaims, StandInForLocksThatAreGrantedTwice) {
  locks = Locks::kGrantedTwice;
  auto store = open_store(dir_.path());
  EXPECT_THAT(store->lock_weakness(), HasSubstr("grants a lock twice"));
  EXPECT_TRUE(has_claim());
  EXPECT_THAT(Store::open(dir_.path()),
              FailsWith(Code::kIo, AllOf(HasSubstr("another service writes this run"),
                                         HasSubstr("(this process)"))));
  EXPECT_THAT(store->write(simulation_.next(10), true), IsOk());
  store.reset();
  EXPECT_FALSE(has_claim()) << "given back";
  EXPECT_THAT(Store::open(dir_.path()), IsOk());
}

TEST_F(WriterClaims, OfAnotherMachineAreRespectedWhileTheyAreRenewed) {
  locks = Locks::kGrantedTwice;
  claim_from_elsewhere(kClaimFreeMs - 10'000);
  EXPECT_THAT(Store::open(dir_.path()),
              FailsWith(Code::kIo, AllOf(HasSubstr("another service writes this run"),
                                         HasSubstr("process 4242 of machine node17"),
                                         HasSubstr("free after 30 s"))));
  EXPECT_TRUE(has_claim());
}

TEST_F(WriterClaims, OfAnotherMachineAreFreeAfterTheirTime) {
  locks = Locks::kGrantedTwice;
  claim_from_elsewhere(kClaimFreeMs + 10'000);
  const auto store = open_store(dir_.path());
  EXPECT_THAT(store->write(simulation_.next(10), true), IsOk());
}

TEST_F(WriterClaims, OfADeadProcessOfThisMachineAreFreeAtOnce) {
  locks = Locks::kGrantedTwice;
  const pid_t child = ::fork();
  if (child == 0) {
    const auto store = Store::open(dir_.path());
    ::_exit(store ? 0 : 1);  // without giving anything back
  }
  // Not reaped: whoever waits for a service's end need not be quick.
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  ASSERT_EQ(ended.si_status, 0);
  EXPECT_TRUE(has_claim());
  EXPECT_THAT(Store::open(dir_.path()), IsOk());
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
}

TEST_F(WriterClaims, ThatWereTakenOverEndTheWritingOfTheFirst) {
  locks = Locks::kGrantedTwice;
  auto store = open_store(dir_.path());
  claim_from_elsewhere(0);
  const Commit commit = simulation_.next(10);
  for (int again = 0; again < 2; ++again) {
    EXPECT_THAT(store->write(commit, false),
                FailsWith(Code::kIo, AllOf(HasSubstr(claim()), HasSubstr("machine node17"))));
  }
  store.reset();
  EXPECT_TRUE(has_claim()) << "it is not ours to remove";
}

// Its disk did not answer for so long that another machine went on; opening LevelDB again would
// write a new MANIFEST and delete that machine's log.
TEST_F(WriterClaims, ThatWereTakenOverKeepAStoreThatFailedFromBeingOpenedAgain) {
  locks = Locks::kGrantedTwice;
  FaultyEnv env;
  auto opened = Store::open(dir_.path(), {.env = &env});
  ASSERT_THAT(opened, IsOk());
  Store& store = **opened;
  ASSERT_THAT(store.write(simulation_.next(10), true), IsOk());
  env.set_room(0);
  const Commit commit = simulation_.next(10);
  EXPECT_THAT(store.write(commit, true), FailsWith(Code::kIo));
  claim_from_elsewhere(0);
  env.set_unlimited();
  const auto names = [&] {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.file("store"))) {
      found.insert(entry.path().filename());
    }
    return found;
  };
  const std::set<std::string> before = names();
  EXPECT_THAT(store.write(commit, true), FailsWith(Code::kIo, HasSubstr("machine node17")));
  EXPECT_THAT(store.put_blob({1, 1}, "bytes"), FailsWith(Code::kIo, HasSubstr("machine node17")));
  EXPECT_EQ(names(), before);
}

TEST_F(WriterClaims, HalfWrittenOnesCountUntilTheirTimeIsOver) {
  locks = Locks::kGrantedTwice;
  std::ofstream(claim()) << "00ff boot";
  EXPECT_THAT(Store::open(dir_.path()), FailsWith(Code::kIo, HasSubstr("nobody can tell who")));
}

TEST(FileSystems, OfThisMachineAreTold) {
  const auto proc = shm::open_file("/proc", O_RDONLY | O_DIRECTORY);
  ASSERT_THAT(proc, test::IsOk());
  const FileSystem found = file_system_of(proc->get());
  EXPECT_EQ(found.type, "0x9fa0");
  EXPECT_FALSE(found.is_shared);
}

}  // namespace
}  // namespace ringlog::store
