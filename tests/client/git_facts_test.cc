#include "client/git_facts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace ringlog::client {
namespace {

namespace fs = std::filesystem;

const std::string kCommit(40, 'a');
const std::string kOther(40, 'b');

class GitFacts : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "ringlog-git-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    top_ = fs::canonical(name);
    write("work/.git/HEAD", "ref: refs/heads/main\n");
    write("work/.git/refs/heads/main", kCommit + "\n");
    write("work/.git/config",
          "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = https://me:secret@host/x.git\n");
    fs::create_directories(top_ / "work/src/deep");
  }
  void TearDown() override { fs::remove_all(top_); }

  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((top_ / path).parent_path());
    std::ofstream(top_ / path) << text;
  }
  record::GitFacts read(const std::string& path) const { return read_git(top_ / path); }
  std::string at(const std::string& path) const { return (top_ / path).string(); }

  fs::path top_;
};

TEST_F(GitFacts, OfABranchFromAnyFolderBelow) {
  const record::GitFacts expected = {at("work"), kCommit, "main", "https://host/x.git"};
  EXPECT_EQ(read("work"), expected);
  EXPECT_EQ(read("work/src/deep"), expected);
}

TEST_F(GitFacts, OfAPackedBranchAndItsOwnRemote) {
  fs::remove(top_ / "work/.git/refs/heads/main");
  write("work/.git/packed-refs", "# pack-refs with: peeled\n" + kOther + " refs/heads/mai\n" +
                                     kCommit + " refs/heads/main\n^" + kOther + "\n");
  write("work/.git/config",
        "[remote \"origin\"]\nurl = a\n[remote \"up\"]\nurl=git@h:y.git\n[branch \"main\"]\n"
        "remote = up\n");
  EXPECT_EQ(read("work"), (record::GitFacts{at("work"), kCommit, "main", "git@h:y.git"}));
}

TEST_F(GitFacts, OfACommitWithoutABranch) {
  write("work/.git/HEAD", kOther + "\n");
  EXPECT_EQ(read("work"), (record::GitFacts{at("work"), kOther, "", "https://host/x.git"}));
}

TEST_F(GitFacts, OfARepositoryWithoutACommit) {
  fs::remove(top_ / "work/.git/refs/heads/main");
  EXPECT_EQ(read("work"), (record::GitFacts{at("work"), "", "main", "https://host/x.git"}));
}

TEST_F(GitFacts, OfALinkedWorkTree) {
  write("linked/.git", "gitdir: " + at("work/.git/worktrees/linked") + "\n");
  write("work/.git/worktrees/linked/HEAD", "ref: refs/heads/side\n");
  write("work/.git/worktrees/linked/commondir", "../..\n");
  write("work/.git/refs/heads/side", kOther + "\n");
  EXPECT_EQ(read("linked"), (record::GitFacts{at("linked"), kOther, "side", "https://host/x.git"}));
}

TEST_F(GitFacts, AreEmptyWhereThereIsNothingToRead) {
  write("odd/.git", "no pointer\n");
  fs::create_directories(top_ / "bare/.git");
  EXPECT_EQ(read("bare").commit, "");
  write("loop/.git/HEAD", "ref: refs/heads/a\n");
  write("loop/.git/refs/heads/a", "ref: refs/heads/a\n");
  EXPECT_EQ(read("loop"), (record::GitFacts{at("loop"), "", "a", ""}));
}

}  // namespace
}  // namespace ringlog::client
