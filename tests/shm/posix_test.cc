// The wrappers of system calls: what they own, what their errors say.

#include "shm/posix.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>

#include "result_matchers.h"
#include "temp_dir.h"

namespace ringlog::shm {
namespace {

using std::chrono::nanoseconds;
using test::FailsWith;
using test::IsOk;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(Fd, ClosesWhatItOwnsOnce) {
  auto file = create_memfd("x");
  ASSERT_THAT(file, IsOk());
  const int number = file->get();
  Fd other = std::move(*file);
  EXPECT_FALSE(*file);
  EXPECT_TRUE(is_open(number));
  other = Fd();
  EXPECT_FALSE(is_open(number));
  Fd kept = std::move(*create_memfd("y"));
  const int released = kept.release();
  kept.reset();
  EXPECT_TRUE(is_open(released));
  ::close(released);
}

TEST(Fd, IsNeverInheritedByAProgram) {
  const test::TempDir dir;
  const Fd file = std::move(*open_file(dir.file("f"), O_RDWR | O_CREAT));
  EXPECT_TRUE(::fcntl(file.get(), F_GETFD) & FD_CLOEXEC);
  EXPECT_TRUE(::fcntl(duplicate(file.get())->get(), F_GETFD) & FD_CLOEXEC);
  EXPECT_TRUE(::fcntl(create_memfd("m")->get(), F_GETFD) & FD_CLOEXEC);
}

TEST(ErrnoError, NamesWhatFailedAndChoosesACode) {
  EXPECT_EQ(errno_error("open x", ENOENT).code, Code::kNotFound);
  EXPECT_EQ(errno_error("open x", EACCES).code, Code::kPermission);
  EXPECT_EQ(errno_error("open x", EPERM).code, Code::kPermission);
  EXPECT_EQ(errno_error("open x", EIO).code, Code::kIo);
  EXPECT_EQ(errno_error("open x", ENOENT).message, "open x: No such file or directory");
}

TEST(ReadAt, BringsExactlyWhatWasAskedFor) {
  const Fd file = std::move(*create_memfd("x"));
  ASSERT_EQ(::write(file.get(), "0123456789", 10), 10);
  std::string text(4, '\0');
  auto bytes = std::as_writable_bytes(std::span(text));
  EXPECT_THAT(read_at(file.get(), bytes, 6, "x"), IsOk());
  EXPECT_EQ(text, "6789");
  EXPECT_THAT(read_at(file.get(), bytes, 7, "x"),
              FailsWith(Code::kCorrupt, "x ends at byte 10, expected 11"));
}

TEST(ReadFile, StopsAtItsLimit) {
  const test::TempDir dir;
  std::ofstream(dir.file("f")) << "hello";
  EXPECT_EQ(*read_file(dir.file("f"), 100), "hello");
  EXPECT_EQ(*read_file(dir.file("f"), 2), "he");
  EXPECT_THAT(read_file(dir.file("g"), 100), FailsWith(Code::kNotFound, HasSubstr("open")));
}

TEST(AllocateFile, WritesEveryPage) {
  const test::TempDir dir;
  const Fd file = std::move(*open_file(dir.file("f"), O_RDWR | O_CREAT));
  ASSERT_THAT(allocate_file(file.get(), 300'000, "f"), IsOk());
  struct stat info {};
  ASSERT_EQ(::fstat(file.get(), &info), 0);
  EXPECT_EQ(info.st_size, 300'000);
  EXPECT_GE(info.st_blocks * 512, 300'000);
}

TEST(PrivateDirectory, IsMadeOnceAndOnlyForItsUser) {
  const test::TempDir dir;
  const std::string path = dir.file("runtime");
  EXPECT_THAT(private_directory(path), IsOk());
  EXPECT_THAT(private_directory(path), IsOk());
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_THAT(private_directory(dir.file("a/b")), FailsWith(Code::kNotFound));
}

TEST(PrivateDirectory, RefusesWhatOthersMayEnterAndSaysHowToMendIt) {
  const test::TempDir dir;
  const std::string path = dir.file("open");
  ASSERT_EQ(::mkdir(path.c_str(), 0700), 0);
  ASSERT_EQ(::chmod(path.c_str(), 0710), 0);
  EXPECT_THAT(private_directory(path),
              FailsWith(Code::kPermission, HasSubstr("run: chmod 0700 " + path)));
}

TEST(PrivateDirectory, RefusesFilesLinksAndOtherUsers) {
  const test::TempDir dir;
  std::ofstream(dir.file("file")) << "x";
  EXPECT_THAT(private_directory(dir.file("file")), FailsWith(Code::kPermission));
  ASSERT_EQ(::symlink(dir.path().c_str(), dir.file("link").c_str()), 0);
  EXPECT_THAT(private_directory(dir.file("link")), FailsWith(Code::kPermission));
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a directory away";
  ASSERT_EQ(::mkdir(dir.file("other").c_str(), 0700), 0);
  ASSERT_EQ(::chown(dir.file("other").c_str(), 65534, 65534), 0);
  EXPECT_THAT(private_directory(dir.file("other")),
              FailsWith(Code::kPermission, HasSubstr("belongs to user 65534")));
}

TEST(MakeDirectories, MakesAllLevels) {
  const test::TempDir dir;
  EXPECT_THAT(make_directories(dir.file("a/b/c")), IsOk());
  EXPECT_THAT(make_directories(dir.file("a/b/c")), IsOk());
  EXPECT_TRUE(std::filesystem::is_directory(dir.file("a/b/c")));
  std::ofstream(dir.file("f")) << "x";
  EXPECT_THAT(make_directories(dir.file("f")), FailsWith(Code::kIo));
  EXPECT_THAT(make_directories(dir.file("f/g")), FailsWith(Code::kIo));
}

TEST(ProcessStartTime, NamesALivingProcessAndNoOther) {
  auto mine = process_start_time(::getpid());
  ASSERT_THAT(mine, IsOk());
  EXPECT_GT(*mine, 0u);
  EXPECT_EQ(*process_start_time(::getpid()), *mine);
  EXPECT_THAT(process_start_time(0x7fffffff), FailsWith(Code::kNotFound));
}

TEST(RandomUuid, IsThirtyTwoDigitsAndNeverTheSame) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string uuid = random_uuid();
    ASSERT_THAT(uuid, MatchesRegex("[0-9a-f]+"));
    ASSERT_EQ(uuid.size(), 32u);
    ASSERT_TRUE(seen.insert(uuid).second);
  }
}

TEST(Deadline, SaturatesAtBothEnds) {
  EXPECT_EQ(deadline_ns(1000, nanoseconds(5)), 1005);
  EXPECT_EQ(deadline_ns(1000, nanoseconds(-5)), 1000);
  EXPECT_EQ(deadline_ns(1000, nanoseconds::max()), INT64_MAX);
  EXPECT_EQ(deadline_ns(1000, nanoseconds::min()), 1000);
}

TEST(Clocks, TheCoarseOneIsTheSameClockALittleBehind) {
  const int64_t before = monotonic_ns() / 1'000'000;
  const int64_t coarse = monotonic_coarse_ms();
  EXPECT_GE(coarse, before - 5000) << "another clock";
  EXPECT_LE(coarse, monotonic_ns() / 1'000'000);
}

}  // namespace
}  // namespace ringlog::shm
