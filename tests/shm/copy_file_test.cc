// Copying files: whole or not at all, never outside the folder.

#include "shm/copy_file.h"

#include "result_matchers.h"
#include "temp_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace ringlog::shm {
namespace {

namespace fs = std::filesystem;
using test::FailsWith;
using test::IsOk;
using ::testing::HasSubstr;

class CopyFileTest : public testing::Test {
 protected:
  CopyFileTest() {
    fs::create_directory(folder_);
    spec_ = {.source = dir_.file("source"), .folder = folder_, .name = "copy", .draft = ".draft"};
  }
  void write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  size_t entries() {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : fs::recursive_directory_iterator(folder_)) ++count;
    return count;
  }

  test::TempDir dir_;
  const std::string folder_ = dir_.file("run");
  CopySpec spec_;
};

TEST_F(CopyFileTest, ReplacesWhatIsThereAndCountsItsBytes) {
  const std::string text(20'000'000, 'x');
  write(spec_.source, text);
  write(folder_ + "/copy", "older");
  uint64_t counted = 0;
  spec_.on_bytes = [&](uint64_t bytes) {
    counted += bytes;
    return true;
  };
  const auto copied = copy_file(spec_);
  ASSERT_THAT(copied, IsOk());
  EXPECT_EQ(copied->stamp, *stamp_of(spec_.source));
  EXPECT_FALSE(copied->has_changed);
  EXPECT_EQ(counted, text.size());
  EXPECT_EQ(read(folder_ + "/copy"), text);
  EXPECT_EQ(stamp_of(folder_ + "/copy")->mtime_ns, copied->stamp.mtime_ns);
  EXPECT_EQ(entries(), 1u);
}

TEST_F(CopyFileTest, MakesTheFoldersOfItsName) {
  write(spec_.source, "a");
  spec_.name = "one/two/copy";
  ASSERT_THAT(copy_file(spec_), IsOk());
  EXPECT_EQ(read(folder_ + "/one/two/copy"), "a");
}

TEST_F(CopyFileTest, WhatIsGivenUpLeavesTheOldCopyAndNoDraft) {
  write(spec_.source, "new");
  write(folder_ + "/copy", "old");
  spec_.on_bytes = [](uint64_t) { return false; };
  EXPECT_THAT(copy_file(spec_), FailsWith(Code::kTimeout));
  EXPECT_EQ(read(folder_ + "/copy"), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(CopyFileTest, ASourceThatChangesIsReadAgain) {
  write(spec_.source, "first");
  int tries = 0;
  spec_.on_bytes = [&](uint64_t) {
    if (++tries == 1) write(spec_.source, "the second state");
    return true;
  };
  const auto copied = copy_file(spec_);
  ASSERT_THAT(copied, IsOk());
  EXPECT_FALSE(copied->has_changed);
  EXPECT_EQ(read(folder_ + "/copy"), "the second state");
}

TEST_F(CopyFileTest, ASourceThatAlwaysChangesIsKeptAndSaidToBeSo) {
  write(spec_.source, "x");
  int tries = 0;
  spec_.on_bytes = [&](uint64_t) {
    write(spec_.source, std::string(static_cast<size_t>(++tries) + 1, 'x'));
    return true;
  };
  const auto copied = copy_file(spec_);
  ASSERT_THAT(copied, IsOk());
  EXPECT_TRUE(copied->has_changed);
  EXPECT_EQ(tries, 3);
}

TEST_F(CopyFileTest, OnlyRegularFilesAreCopied) {
  EXPECT_THAT(copy_file(spec_), FailsWith(Code::kNotFound, HasSubstr("source")));
  ASSERT_EQ(::mkfifo(spec_.source.c_str(), 0600), 0);
  EXPECT_THAT(copy_file(spec_), FailsWith(Code::kInvalidArgument, HasSubstr("no regular file")));
  spec_.source = folder_;
  EXPECT_THAT(copy_file(spec_), FailsWith(Code::kInvalidArgument, HasSubstr("is a folder")));
  EXPECT_EQ(entries(), 0u);
}

TEST_F(CopyFileTest, FilesThatSayNothingOfTheirSizeAreEmpty) {
  spec_.source = "/proc/self/status";
  ASSERT_THAT(copy_file(spec_), IsOk());
  EXPECT_EQ(read(folder_ + "/copy"), "");
}

TEST_F(CopyFileTest, ALinkIsFollowedAtTheSourceAndNeverInTheFolder) {
  write(dir_.file("real"), "real");
  fs::create_symlink(dir_.file("real"), spec_.source);
  write(dir_.file("outside"), "untouched");
  fs::create_symlink(dir_.file("outside"), folder_ + "/copy");
  ASSERT_THAT(copy_file(spec_), IsOk());
  EXPECT_EQ(read(folder_ + "/copy"), "real");
  EXPECT_EQ(read(dir_.file("outside")), "untouched");
  fs::create_directory(dir_.file("elsewhere"));
  fs::create_symlink(dir_.file("elsewhere"), folder_ + "/link");
  spec_.name = "link/copy";
  EXPECT_THAT(copy_file(spec_), FailsWith(Code::kIo));
  EXPECT_TRUE(fs::is_empty(dir_.file("elsewhere")));
}

TEST_F(CopyFileTest, ANameNeverLeadsOutOfTheFolder) {
  write(spec_.source, "a");
  for (const char* name : {"", "..", "../copy", "a/../../copy", "/etc/copy", "a//copy", "a/"}) {
    spec_.name = name;
    EXPECT_THAT(copy_file(spec_), FailsWith(Code::kInvalidArgument)) << name;
  }
}

TEST_F(CopyFileTest, AFileThatIsAlreadyThereIsLeftAlone) {
  spec_.source = folder_ + "/copy";
  write(spec_.source, "mine");
  const auto before = *stamp_of(spec_.source);
  ASSERT_THAT(copy_file(spec_), IsOk());
  EXPECT_EQ(*stamp_of(spec_.source), before);
  EXPECT_EQ(read(spec_.source), "mine");
}

}  // namespace
}  // namespace ringlog::shm
