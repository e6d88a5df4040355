// A service in this process.

#include "daemon/guest.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "no_more_threads.h"
#include "result_matchers.h"
#include "temp_dir.h"
#include "watchdog.h"

namespace ringlog::service {
namespace {

using test::FailsWith;
using test::IsOk;
using ::testing::HasSubstr;

TEST(Guest, ThatGetsNoThreadLeavesTheProgramAsItWasAndComesLater) {
  const test::Watchdog watchdog;
  const test::TempDir dir("/dev/shm");
  {
    const test::NoMoreThreads no_more;
    const auto guest = Guest::start(dir.file("runtime"));
    ASSERT_THAT(guest, FailsWith(Code::kIo));
    EXPECT_THAT(guest.error().message, HasSubstr("ringlog"));
  }
  sigset_t blocked;
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, nullptr, &blocked), 0);
  EXPECT_EQ(::sigismember(&blocked, SIGTERM), 0);
  auto guest = Guest::start(dir.file("runtime"));
  ASSERT_THAT(guest, IsOk());
  (*guest)->stop();
  {
    const test::NoMoreThreads no_more;
    EXPECT_THAT(Guest::start(dir.file("other")), FailsWith(Code::kIo)) << "its own have no room";
  }
  EXPECT_THAT(Guest::start(dir.file("third")), IsOk());
}

}  // namespace
}  // namespace ringlog::service
