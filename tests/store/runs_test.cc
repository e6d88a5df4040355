// Runs are found by directory, id, prefix and age.

#include "store/runs.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "store_fixture.h"

namespace ringlog::store {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Runs : public ::testing::Test {
 protected:
  Runs() {
    add("demo", "run-aaa", 3);
    add("demo", "run-aab", 1);
    add("other", "bbb", 2);
    add("other", "run", 4);
    fs::create_directories(root_.file("demo/not-a-run/files"));
    // What a service leaves that dies while LevelDB makes a store.
    fs::create_directories(root_.file("demo/half-made/store"));
    std::ofstream(root_.file("demo/half-made/store/MANIFEST-000001")) << "x";
    std::ofstream(root_.file("stray")) << "x";
  }

  void add(const std::string& project, const std::string& id, int age_minutes) {
    const std::string store = root_.file(project + "/" + id + "/store");
    fs::create_directories(store);
    std::ofstream(store + "/000003.log") << "x";
    const auto when = fs::file_time_type::clock::now() - std::chrono::minutes(age_minutes);
    fs::last_write_time(store + "/000003.log", when);
    fs::last_write_time(store, when - std::chrono::hours(1));
  }

  std::string id_of(std::string_view name) {
    Result<RunPlace> run = resolve_run(root_.path(), name);
    return run ? run->project + "/" + run->run_id : run.error().message;
  }

  const test::TempDir root_;
};

TEST_F(Runs, AreListedNewestFirst) {
  const std::vector<RunPlace> runs = *find_runs(root_.path());
  std::vector<std::string> ids;
  for (const RunPlace& run : runs) ids.push_back(run.run_id);
  EXPECT_THAT(ids, ::testing::ElementsAre("run-aab", "bbb", "run-aaa", "run"));
  EXPECT_EQ(runs[0].project, "demo");
  EXPECT_EQ(runs[0].dir, root_.file("demo/run-aab"));
  EXPECT_GT(runs[0].mtime_ns, runs[1].mtime_ns);
}

TEST_F(Runs, AreFoundByIdPrefixAgeAndPath) {
  EXPECT_EQ(id_of("bbb"), "other/bbb");
  EXPECT_EQ(id_of("b"), "other/bbb");
  EXPECT_EQ(id_of("run-aab"), "demo/run-aab");
  EXPECT_EQ(id_of("run"), "other/run");  // a whole id wins over prefixes
  EXPECT_EQ(id_of("latest"), "demo/run-aab");
  EXPECT_EQ(id_of(root_.file("demo/run-aaa")), "demo/run-aaa");
  EXPECT_EQ(id_of(root_.file("demo/run-aaa/")), "demo/run-aaa");
  EXPECT_EQ(id_of(root_.file("demo/run-aaa/store")), "demo/run-aaa");
  EXPECT_EQ(id_of("demo/run-aaa"), "demo/run-aaa");
}

TEST_F(Runs, AreRefusedWithTheReason) {
  EXPECT_THAT(
      resolve_run(root_.path(), "run-"),
      FailsWith(Code::kInvalidArgument, AllOf(HasSubstr("several"), HasSubstr("demo/run-aaa"),
                                              HasSubstr("demo/run-aab"), Not(HasSubstr("bbb")))));
  EXPECT_THAT(resolve_run(root_.path(), "zzz"),
              FailsWith(Code::kNotFound,
                        AllOf(HasSubstr("zzz"), HasSubstr(root_.path()), HasSubstr("other/bbb"))));
  EXPECT_THAT(resolve_run(root_.path(), root_.file("demo/not-a-run")),
              FailsWith(Code::kNotFound, HasSubstr("not a run")));
  EXPECT_THAT(resolve_run(root_.path(), root_.file("demo/half-made")),
              FailsWith(Code::kNotFound, HasSubstr("not a run")));
  EXPECT_THAT(resolve_run(root_.path(), root_.file("nowhere")),
              FailsWith(Code::kNotFound, HasSubstr("nowhere")));
  EXPECT_THAT(resolve_run(root_.path(), ""), FailsWith(Code::kInvalidArgument));
  EXPECT_THAT(resolve_run(root_.file("none"), "latest"),
              FailsWith(Code::kNotFound, HasSubstr("there are no runs")));
  EXPECT_THAT(find_runs(root_.file("stray")), FailsWith(Code::kIo, HasSubstr("stray")));
}

}  // namespace
}  // namespace ringlog::store
