// The doorbell: wakes whoever sleeps, costs nothing otherwise; its page.

#include "shm/doorbell.h"

#include "shm/segment.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "result_matchers.h"
#include "temp_dir.h"
#include "watchdog.h"

namespace ringlog::shm {
namespace {

using test::FailsWith;
using test::IsOk;
using ::testing::HasSubstr;

TEST(Doorbell, RingingAnAwakeServiceChangesNothing) {
  DoorbellPage page{};
  ring_doorbell(page);
  EXPECT_EQ(page.asleep.load(), 0u);
}

TEST(Doorbell, RingingChangesTheWordBeforeItWakes) {
  DoorbellPage page{};
  announce_sleep(page);
  EXPECT_EQ(page.asleep.load(), 1u);
  ring_doorbell(page);
  EXPECT_EQ(page.asleep.load(), 0u);
}

TEST(Doorbell, ServiceThatWasRungBeforeItSleepsDoesNotSleep) {
  const test::Watchdog watchdog;
  DoorbellPage page{};
  announce_sleep(page);
  ring_doorbell(page);
  sleep_on_doorbell(page, std::chrono::hours(1));
  EXPECT_EQ(page.asleep.load(), 0u);
}

TEST(Doorbell, ServiceThatFoundWorkIsAwake) {
  DoorbellPage page{};
  announce_sleep(page);
  cancel_sleep(page);
  EXPECT_EQ(page.asleep.load(), 0u);
}

TEST(Doorbell, SleepEndsAtItsTimeout) {
  const test::Watchdog watchdog;
  DoorbellPage page{};
  announce_sleep(page);
  sleep_on_doorbell(page, std::chrono::milliseconds(1));
  EXPECT_EQ(page.asleep.load(), 0u);
}

// Each round is lost for an hour if one ring is.
TEST(Doorbell, WakesASleeperEveryTime) {
  const test::Watchdog watchdog;
  constexpr uint32_t kRounds = 20'000;
  DoorbellPage page{};
  std::atomic<uint32_t> work{0};
  std::atomic<uint32_t> done{0};
  std::thread service([&] {
    while (done.load() != kRounds) {
      announce_sleep(page);
      if (work.load(std::memory_order_acquire) != done.load()) {
        cancel_sleep(page);
        done.store(work.load());
      } else {
        sleep_on_doorbell(page, std::chrono::hours(1));
      }
    }
  });
  for (uint32_t round = 1; round <= kRounds; ++round) {
    work.store(round, std::memory_order_release);
    ring_doorbell(page);
    while (done.load() != round) std::this_thread::yield();
  }
  service.join();
}

TEST(DoorbellFile, ServiceAndClientShareOnePage) {
  const test::TempDir dir;
  auto service = Doorbell::create(dir.file("doorbell"));
  ASSERT_THAT(service, IsOk());
  auto client = Doorbell::map(std::move(*duplicate((*service)->fd())));
  ASSERT_THAT(client, IsOk());
  announce_sleep((*service)->page());
  ring_doorbell((*client)->page());
  EXPECT_EQ((*service)->page().asleep.load(), 0u);
}

TEST(DoorbellFile, EpochGrowsWithEachServiceAndIsNeverZero) {
  const test::TempDir dir;
  auto first = Doorbell::create(dir.file("doorbell"));
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ((*first)->page().epoch.load(), 1u);
  auto client = Doorbell::map(std::move(*duplicate((*first)->fd())));
  ASSERT_THAT(client, IsOk());
  (*first)->page().asleep.store(1);
  first->reset();
  auto second = Doorbell::create(dir.file("doorbell"));
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ((*second)->page().epoch.load(), 2u);
  EXPECT_EQ((*client)->page().epoch.load(), 2u) << "a client's mapping outlives the service";
  EXPECT_EQ((*second)->page().asleep.load(), 0u);
  EXPECT_GT((*second)->page().heartbeat_ms.load(), 0);
}

// Every client has the file, and one of them cuts it: the service must not die of it.
TEST(DoorbellFile, OfTheServiceOutlivesBeingCut) {
  const test::TempDir dir("/dev/shm");
  auto service = Doorbell::create(dir.file("doorbell"));
  ASSERT_THAT(service, IsOk());
  ASSERT_EQ(::ftruncate((*service)->fd(), 0), 0);
  DoorbellPage& page = (*service)->page();
  page.heartbeat_ms.store(7);
  EXPECT_EQ(page.heartbeat_ms.load(), 7);
  announce_sleep(page);
  ring_doorbell(page);
  EXPECT_EQ(page.asleep.load(), 0u);
}

TEST(DoorbellFile, IsPrivateToItsUser) {
  const test::TempDir dir;
  ASSERT_THAT(Doorbell::create(dir.file("doorbell")), IsOk());
  struct stat info {};
  ASSERT_EQ(::stat(dir.file("doorbell").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(DoorbellFile, RefusesALinkAndAnotherUsersFile) {
  const test::TempDir dir;
  ASSERT_EQ(::symlink("elsewhere", dir.file("link").c_str()), 0);
  EXPECT_THAT(Doorbell::create(dir.file("link")), FailsWith(Code::kIo));
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  ASSERT_THAT(Doorbell::create(dir.file("doorbell")), IsOk());
  ASSERT_EQ(::chown(dir.file("doorbell").c_str(), 65534, 65534), 0);
  EXPECT_THAT(Doorbell::create(dir.file("doorbell")),
              FailsWith(Code::kPermission, HasSubstr("belongs to user 65534")));
}

TEST(DoorbellFile, ClientRefusesWhatIsNotADoorbell) {
  const test::TempDir dir;
  auto service = Doorbell::create(dir.file("doorbell"));
  ASSERT_THAT(service, IsOk());
  const auto map = [&] { return Doorbell::map(std::move(*duplicate((*service)->fd()))); };
  DoorbellPage& page = (*service)->page();
  page.magic ^= 1;
  EXPECT_THAT(map(), FailsWith(Code::kCorrupt, HasSubstr("magic")));
  page.magic ^= 1;
  page.layout_major = kLayoutMajor + 1;
  EXPECT_THAT(map(), FailsWith(Code::kVersion, HasSubstr("layout 2")));
  page.layout_major = kLayoutMajor;
  page.layout_minor = kLayoutMinor + 1;
  EXPECT_THAT(map(), IsOk());
  ASSERT_EQ(::ftruncate((*service)->fd(), 100), 0);
  EXPECT_THAT(map(), FailsWith(Code::kCorrupt, HasSubstr("cut short")));
}

}  // namespace
}  // namespace ringlog::shm
