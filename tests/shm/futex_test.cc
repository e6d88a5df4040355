// Waiting on a word: by sleeping, and by looking.

#include "shm/futex.h"

#include <gtest/gtest.h>

#include <thread>

#include "shm/posix.h"

namespace ringlog::shm {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

TEST(SpinWhile, ReturnsAtOnceWhatIsThereAlready) {
  const std::atomic<uint32_t> word{7};
  EXPECT_EQ(spin_while(word, 6, hours(1)), 7u);
}

TEST(SpinWhile, ReturnsWhatAnotherThreadStores) {
  std::atomic<uint32_t> word{1};
  std::thread other([&word] { word.store(2, std::memory_order_release); });
  EXPECT_EQ(spin_while(word, 1, hours(1)), 2u);
  other.join();
}

TEST(SpinWhile, GivesUpAfterItsTimeAndNotBefore) {
  const std::atomic<uint32_t> word{1};
  const int64_t start = monotonic_ns();
  EXPECT_EQ(spin_while(word, 1, milliseconds(2)), 1u);
  EXPECT_GE(monotonic_ns() - start, 2'000'000);
  EXPECT_EQ(spin_while(word, 1, nanoseconds(-1)), 1u);
}

TEST(FutexWait, ReturnsAtOnceForAnotherValueAndWithoutTime) {
  const std::atomic<uint32_t> word{7};
  futex_wait(word, 6, hours(1));
  futex_wait(word, 7, nanoseconds(0));
  futex_wait(word, 7, nanoseconds(-1));
}

TEST(FutexWait, EndsWithAWake) {
  std::atomic<uint32_t> word{1};
  std::thread other([&word] {
    word.store(2, std::memory_order_release);
    futex_wake_all(word);
  });
  while (word.load(std::memory_order_acquire) == 1) futex_wait(word, 1, hours(1));
  other.join();
}

}  // namespace
}  // namespace ringlog::shm
