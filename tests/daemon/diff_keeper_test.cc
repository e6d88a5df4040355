// The diff of a work tree: kept whole, once, and not at all when it is too large.

#include "daemon/diff_keeper.h"

#include "temp_dir.h"
#include "watchdog.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace ringlog::service {
namespace {

namespace fs = std::filesystem;

class DiffKeeperTest : public testing::Test {
 protected:
  // A work tree with one commit and a file that has changed since.
  std::string make_tree(const std::string& name, const std::string& text) {
    const std::string tree = dir_.file(name);
    fs::create_directory(tree);
    write(tree + "/file", "before\n");
    const std::string git = "git -C " + tree + " -c user.name=a -c user.email=a@b ";
    EXPECT_EQ(std::system((git + "init -q && " + git + "add . && " + git + "commit -qm x").c_str()),
              0);
    write(tree + "/file", text);
    return tree;
  }
  std::string make_run(const std::string& name) {
    fs::create_directories(dir_.file(name) + "/files");
    return dir_.file(name);
  }
  static void write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  static std::string patch(const std::string& run) { return run + "/files/diff.patch"; }
  // Diffs are made one after another, so with this one all before it are done.
  void keep_and_wait(const std::string& tree, const std::string& run) {
    keeper_.keep(tree, run);
    while (!fs::exists(patch(run))) std::this_thread::yield();
  }

  const test::Watchdog watchdog_;
  test::TempDir dir_;
  DiffKeeper keeper_;
};

TEST_F(DiffKeeperTest, IsKeptOnceAndStays) {
  const std::string run = make_run("run");
  const std::string tree = make_tree("tree", "after\n");
  keep_and_wait(tree, run);
  EXPECT_NE(read(patch(run)).find("-before\n+after\n"), std::string::npos);
  write(tree + "/file", "later\n");
  keeper_.keep(tree, run);
  keep_and_wait(tree, make_run("other"));
  EXPECT_EQ(read(patch(run)).find("later"), std::string::npos);
}

TEST_F(DiffKeeperTest, OneAboveTheLimitIsLeftOut) {
  const std::string large = make_run("large");
  keeper_.keep(make_tree("tree", std::string(DiffKeeper::kSizeLimit, 'x') + "\n"), large);
  keep_and_wait(make_tree("small", "after\n"), make_run("run"));
  EXPECT_TRUE(fs::is_empty(large + "/files"));
}

TEST_F(DiffKeeperTest, WhatIsNoWorkTreeHasNone) {
  const std::string run = make_run("none");
  keeper_.keep(dir_.file("nowhere"), run);
  keep_and_wait(make_tree("tree", "after\n"), make_run("run"));
  EXPECT_TRUE(fs::is_empty(run + "/files"));
}

}  // namespace
}  // namespace ringlog::service
