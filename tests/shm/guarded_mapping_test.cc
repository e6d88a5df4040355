// Copying out of a mapping whose file somebody cuts: it fails, and nobody dies of it.

#include "shm/guarded_mapping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "result_matchers.h"
#include "shm/limits.h"
#include "shm/posix.h"
#include "shm/sigbus.h"
#include "watchdog.h"

namespace ringlog::shm {
namespace {

using test::IsOk;

constexpr size_t kPages = 8;
constexpr size_t kSize = kPages * kPageSize;

class GuardedMappingTest : public ::testing::Test {
 protected:
  GuardedMappingTest() { fill(); }

  // The file whole, its bytes as byte_at() says.
  void fill() {
    std::vector<std::byte> bytes(kSize);
    for (size_t i = 0; i < kSize; ++i) bytes[i] = byte_at(i);
    cut(0);
    ASSERT_EQ(::pwrite(fd_.get(), bytes.data(), kSize, 0), static_cast<ssize_t>(kSize));
  }
  static std::byte byte_at(size_t offset) { return static_cast<std::byte>(1 + offset % 251); }
  void cut(size_t size) { ASSERT_EQ(::ftruncate(fd_.get(), static_cast<off_t>(size)), 0); }
  std::unique_ptr<GuardedMapping> map(uint64_t offset = 0) {
    return GuardedMapping::map(fd_.get(), offset, kSize - offset);
  }

  const test::Watchdog watchdog_;
  Fd fd_ = std::move(*create_memfd("guarded"));
};

TEST_F(GuardedMappingTest, CopiesWhatStandsInTheFileThen) {
  const auto mapping = map(kPageSize);
  ASSERT_NE(mapping, nullptr);
  std::array<std::byte, 5000> copy{};
  ASSERT_TRUE(mapping->copy(123, copy));
  for (size_t i = 0; i < copy.size(); ++i) ASSERT_EQ(copy[i], byte_at(kPageSize + 123 + i)) << i;
  ASSERT_EQ(::pwrite(fd_.get(), "later", 5, kPageSize), 5);
  ASSERT_TRUE(mapping->copy(0, std::span(copy).first(5)));
  EXPECT_EQ(std::memcmp(copy.data(), "later", 5), 0);
}

TEST_F(GuardedMappingTest, FailsForPagesThatTheFileHasLostAndForGood) {
  const auto mapping = map();
  const auto other = map();
  std::vector<std::byte> copy(kSize);
  cut(3 * kPageSize);
  EXPECT_TRUE(mapping->copy(0, std::span(copy).first(3 * kPageSize)));
  EXPECT_FALSE(mapping->copy(2 * kPageSize, std::span(copy).first(2 * kPageSize)));
  fill();
  EXPECT_FALSE(mapping->copy(0, copy)) << "a page of it is not the file's any more";
  EXPECT_TRUE(other->copy(0, copy)) << "it met no page that was gone";
}

TEST_F(GuardedMappingTest, MayReachBehindTheFilesEnd) {
  cut(kPageSize);
  const auto mapping = map();
  ASSERT_NE(mapping, nullptr);
  fill();
  std::vector<std::byte> copy(kSize);
  EXPECT_TRUE(mapping->copy(0, copy));
}

TEST_F(GuardedMappingTest, IsRefusedWhereTheKernelDoesNotMap) {
  EXPECT_EQ(GuardedMapping::map(-1, 0, kPageSize), nullptr);
  EXPECT_EQ(GuardedMapping::map(fd_.get(), 24, kPageSize), nullptr) << "no page begins there";
}

TEST_F(GuardedMappingTest, LeavesHalfOfTheGuardedRangesToOthers) {
  std::vector<std::unique_ptr<GuardedMapping>> mappings;
  for (size_t i = 0; i < kMappedRingsMax; ++i) {
    mappings.push_back(map());
    ASSERT_NE(mappings.back(), nullptr) << i;
  }
  EXPECT_EQ(map(), nullptr);
  const int other = guard_range(&mappings, 1);
  EXPECT_GE(other, 0);
  unguard_range(other);
  mappings.pop_back();
  EXPECT_NE(map(), nullptr);
}

TEST_F(GuardedMappingTest, IsRefusedWhenNoMoreRangesCanBeGuarded) {
  std::vector<int> taken;
  for (int index = 0; (index = guard_range(&taken, 1)) >= 0;) taken.push_back(index);
  EXPECT_EQ(map(), nullptr);
  for (const int index : taken) unguard_range(index);
  EXPECT_NE(map(), nullptr);
}

TEST_F(GuardedMappingTest, IsNotThereInAForkedChild) {
  const auto is_mapped = [] {
    const auto maps = read_file("/proc/self/maps", 1 << 20);
    return maps && maps->find("memfd:guarded") != std::string::npos;
  };
  const auto mapping = map();
  ASSERT_TRUE(is_mapped());
  const pid_t child = ::fork();
  if (child == 0) ::_exit(is_mapped() ? 1 : 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(GuardedMappingTest, GivesItsRangeBack) {
  for (int i = 0; i < 10'000; ++i) ASSERT_NE(map(), nullptr) << i;
}

// A copy that succeeds holds what the file held: its bytes, or zeros where it was cut and grew.
TEST_F(GuardedMappingTest, SurvivesAFileThatIsCutAndGrowsWhileItCopies) {
  std::atomic<bool> is_over{false};
  std::thread cutter([&] {
    for (size_t size = 0; !is_over.load(std::memory_order_relaxed);
         size = (size + 3 * kPageSize) % kSize) {
      cut(size);
      cut(kSize);
    }
  });
  std::vector<std::byte> copy(kSize);
  int failed = 0;
  for (int round = 0; failed < 200; ++round) {
    const auto mapping = map();
    ASSERT_NE(mapping, nullptr);
    if (!mapping->copy(0, copy)) {
      ++failed;
      continue;
    }
    for (size_t i = 0; i < kSize; ++i) {
      ASSERT_TRUE(copy[i] == byte_at(i) || copy[i] == std::byte{0}) << i;
    }
  }
  is_over.store(true);
  cutter.join();
}

}  // namespace
}  // namespace ringlog::shm
