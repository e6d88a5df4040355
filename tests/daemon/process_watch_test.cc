// How processes ended, learnt from real ones.

#include "daemon/process_watch.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "result_matchers.h"
#include "watchdog.h"

namespace ringlog::service {
namespace {

using test::FailsWith;
using test::IsOk;

class ProcessWatchTest : public ::testing::Test {
 protected:
  // A child that waits until it is let go, then runs `body`.
  void start(const std::function<void()>& body) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    child_ = ::fork();
    if (child_ == 0) {
      ::close(ends[1]);
      char byte = 0;
      [[maybe_unused]] const ssize_t n = ::read(ends[0], &byte, 1);
      body();
      ::_exit(0);
    }
    ::close(ends[0]);
    gate_ = shm::Fd(ends[1]);
    auto start = shm::process_start_time(child_);
    ASSERT_THAT(start, IsOk());
    start_ = *start;
    auto pidfd = open_pidfd(child_, start_);
    ASSERT_THAT(pidfd, IsOk());
    pidfd_ = std::move(*pidfd);
  }
  void let_go_and_wait_for_death() {
    EXPECT_FALSE(is_dead(pidfd_.get()));
    gate_.reset();
    pollfd entry{pidfd_.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&entry, 1, -1), 1);
    EXPECT_TRUE(is_dead(pidfd_.get()));
  }
  void reap() { ASSERT_EQ(::waitpid(child_, nullptr, 0), child_); }
  std::optional<ExitInfo> info() { return exit_info(pidfd_.get(), child_, start_); }

  const test::Watchdog watchdog_;
  pid_t child_ = -1;
  uint64_t start_ = 0;
  shm::Fd gate_;
  shm::Fd pidfd_;
};

TEST_F(ProcessWatchTest, ALivingProcessHasNoExit) {
  start([] {});
  EXPECT_FALSE(info());
  let_go_and_wait_for_death();
  reap();
}

TEST_F(ProcessWatchTest, AZombieTellsItsExitCode) {
  start([] { ::_exit(3); });
  let_go_and_wait_for_death();
  const auto found = info();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->exit_code, 3);
  EXPECT_EQ(found->signal, 0);
  reap();
}

TEST_F(ProcessWatchTest, AZombieTellsItsSignal) {
  start([] { ::kill(::getpid(), SIGKILL); });
  let_go_and_wait_for_death();
  const auto found = info();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->signal, SIGKILL);
  reap();
}

TEST_F(ProcessWatchTest, AReapedProcessIsKnownToNewKernelsOnly) {
  start([] { ::_exit(7); });
  let_go_and_wait_for_death();
  reap();
  const auto found = info();
  if (!found) GTEST_SKIP() << "this kernel has no PIDFD_INFO_EXIT (Linux 6.15)";
  EXPECT_EQ(found->exit_code, 7);
}

TEST_F(ProcessWatchTest, ADeadPidIsNotFound) {
  start([] {});
  let_go_and_wait_for_death();
  reap();
  EXPECT_THAT(open_pidfd(child_, start_), FailsWith(Code::kNotFound));
}

TEST(OpenPidfd, RefusesAnotherProcessOfThatNumber) {
  EXPECT_THAT(open_pidfd(::getpid(), 1), FailsWith(Code::kNotFound));
  EXPECT_THAT(open_pidfd(::getpid(), 0), IsOk());
  EXPECT_THAT(open_pidfd(0, 0), FailsWith(Code::kNotFound));
}

TEST(DecideEnd, TheProducersOwnWordComesFirst) {
  const struct {
    std::optional<ExitInfo> finish;
    EndFacts facts;
    const char* state;
    int32_t code;
    int32_t signal;
  } cases[] = {
      {ExitInfo{0, 0}, {.kernel = ExitInfo{0, SIGKILL}}, "finished", 0, 0},
      {ExitInfo{2, 0}, {.exit_word = 0}, "failed", 2, 0},
      {ExitInfo{137, SIGKILL}, {.exit_word = 137}, "crashed", 0, SIGKILL},
      {ExitInfo{143, SIGTERM}, {.kernel = ExitInfo{143, 0}}, "killed", 0, SIGTERM},
      {{}, {.exit_word = 0}, "finished", 0, 0},
      {{}, {.exit_word = 3, .kernel = ExitInfo{3, 0}}, "failed", 3, 0},
      {{}, {.kernel = ExitInfo{0, 0}}, "finished", 0, 0},
      {{}, {.kernel = ExitInfo{4, 0}}, "failed", 4, 0},
      {{}, {.kernel = ExitInfo{0, SIGKILL}}, "crashed", 0, SIGKILL},
      {{}, {.kernel = ExitInfo{0, SIGSEGV}}, "crashed", 0, SIGSEGV},
      {{}, {.kernel = ExitInfo{0, SIGTERM}}, "killed", 0, SIGTERM},
      {{}, {.kernel = ExitInfo{0, SIGINT}}, "killed", 0, SIGINT},
      {{}, {.kernel = ExitInfo{0, SIGHUP}}, "killed", 0, SIGHUP},
      {{}, {.forced = End{"killed", 0, 0, "why"}}, "killed", 0, 0},
      {ExitInfo{1, 0}, {.forced = End{"killed", 0, 0, "why"}}, "failed", 1, 0},
      {{}, {}, "crashed", 0, 0},
  };
  for (const auto& c : cases) {
    const End end = decide_end(c.finish, c.facts);
    EXPECT_STREQ(end.state, c.state);
    EXPECT_EQ(end.exit_code, c.code);
    EXPECT_EQ(end.signal, c.signal);
  }
  EXPECT_STREQ(decide_end({}, {}).cause, "it vanished; the cause is unknown");
}

}  // namespace
}  // namespace ringlog::service
