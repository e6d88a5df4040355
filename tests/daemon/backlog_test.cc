// When ended runs whose sinks are behind are tried, and the notes that the next service finds.

#include "daemon/backlog.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "daemon/limits.h"
#include "daemon/unsent_notes.h"
#include "daemon_fixture.h"

namespace ringlog::service {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class BacklogTest : public ::testing::Test {
 protected:
  static Behind run(const std::string& name, const std::string& place = "a", uint64_t sent = 0) {
    Behind behind;
    behind.info = {name, "", "project", "/runs/project/" + name};
    behind.status.dir = behind.info.dir;
    SinkStatus& sink = behind.status.sinks.emplace_back();
    sink.url = place;
    sink.sent_rows = sent;
    behind.place = place;
    return behind;
  }
  static std::string dir(const std::string& name) { return "/runs/project/" + name; }
  // The names of those that are to be tried now.
  std::vector<std::string> due() {
    std::vector<std::string> names;
    while (const auto info = backlog_.next()) names.push_back(info->run_id);
    return names;
  }

  FakeClock clock_;
  Backlog backlog_{clock_, 1};
};

TEST_F(BacklogTest, OneIsTriedAtATimeWhileAPlaceFails) {
  for (const char* name : {"1", "2", "3"}) backlog_.add(run(name));
  EXPECT_THAT(due(), ElementsAre("1"));
  EXPECT_THAT(due(), IsEmpty()) << "while that is tried";
  backlog_.park(run("1"), 0);
  EXPECT_THAT(due(), IsEmpty()) << "before the backoff is over";
  clock_.now_ms += kSinkRetryFirstMs * 3 / 2;
  EXPECT_THAT(due(), ElementsAre("2")) << "another one: the first may be the fault";
}

TEST_F(BacklogTest, LaterAndLaterButNeverNot) {
  backlog_.add(run("1"));
  int64_t longest = 0;
  for (int i = 0; i < 20; ++i) {
    const int64_t before = clock_.now_ms;
    while (due().empty()) clock_.now_ms += 10;
    longest = std::max(longest, clock_.now_ms - before);
    backlog_.park(run("1"), 0);
  }
  EXPECT_GE(longest, kSinkRetryMaxMs / 2);
  EXPECT_LE(longest, kSinkRetryMaxMs * 3 / 2 + 10);
}

// Nor is the place taken to fail, when somebody else could not open the run.
TEST_F(BacklogTest, OneThatIsNotTriedCannotFail) {
  backlog_.add(run("1"));
  backlog_.add(run("2"));
  backlog_.fail(dir("1"), "somebody has the store");
  EXPECT_THAT(due(), ElementsAre("1"));
  backlog_.fail(dir("1"), "somebody has the store");
  backlog_.fail(dir("1"), "somebody has the store");
  clock_.now_ms += kSinkRetryFirstMs * 3 / 2;
  EXPECT_THAT(due(), ElementsAre("2"));
}

TEST_F(BacklogTest, TheWishToWaitIsHeard) {
  backlog_.park(run("1"), clock_.now_ms + 1'000'000);
  clock_.now_ms += 999'999;
  EXPECT_THAT(due(), IsEmpty());
  clock_.now_ms += 1;
  EXPECT_THAT(due(), ElementsAre("1"));
}

TEST_F(BacklogTest, WhenOneGotEverythingThereTheOthersFollowAFewAtATime) {
  for (int i = 0; i < 20; ++i) backlog_.add(run(std::to_string(i)));
  EXPECT_EQ(due().size(), 1u);
  backlog_.settle(dir("0"));
  EXPECT_EQ(due().size(), kUnsentOpenMax);
  backlog_.settle(dir("1"));
  EXPECT_THAT(due(), ElementsAre("9"));
  EXPECT_EQ(backlog_.find(dir("1")), nullptr);
  EXPECT_NE(backlog_.find(dir("19")), nullptr);
}

TEST_F(BacklogTest, PlacesDoNotWaitForEachOther) {
  backlog_.add(run("1", "a"));
  backlog_.add(run("2", "a"));
  backlog_.add(run("3", "b"));
  EXPECT_THAT(due(), ElementsAre("1", "3"));
  backlog_.park(run("1", "b"), 0);  // "a" has all of it by now
  EXPECT_THAT(due(), ElementsAre("2"));
}

TEST_F(BacklogTest, ARunThatSomebodyOpensIsNobodysBusiness) {
  backlog_.add(run("1"));
  EXPECT_THAT(due(), ElementsAre("1"));
  backlog_.leave(dir("1"));
  EXPECT_TRUE(backlog_.is_empty());
  backlog_.settle(dir("1"));
  backlog_.fail(dir("1"), "x");
  EXPECT_TRUE(backlog_.is_empty());
  for (size_t i = 0; i <= kUnsentOpenMax; ++i) backlog_.add(run(std::to_string(i)));
  EXPECT_THAT(due(), ElementsAre("0")) << "it takes nobody's turn";
}

TEST_F(BacklogTest, ARunThatCannotBeOpenedIsTriedAgain) {
  backlog_.add(run("1"));
  EXPECT_THAT(due(), ElementsAre("1"));
  backlog_.fail(dir("1"), "the disk is away");
  EXPECT_EQ(backlog_.find(dir("1"))->sinks[0].last_error, "the disk is away");
  EXPECT_THAT(due(), IsEmpty());
  clock_.now_ms += kSinkRetryFirstMs * 3 / 2;
  EXPECT_THAT(due(), ElementsAre("1"));
}

TEST_F(BacklogTest, ProgressIsARunThatCameOrRowsThatWent) {
  const int64_t start = clock_.now_ms;
  backlog_.add(run("1"));
  clock_.now_ms += 100'000;
  due();
  backlog_.park(run("1"), 0);
  EXPECT_EQ(backlog_.progress_ms(), start);
  backlog_.park(run("1", "a", 7), 0);
  EXPECT_EQ(backlog_.progress_ms(), clock_.now_ms);
}

TEST(UnsentNotesTest, SayWhichRunsTheNextServiceHasToSend) {
  const test::TempDir dir;
  const std::string folder = dir.file("state/ringlog/unsent-1");
  const UnsentNotes notes(folder, "/run/ringlog");
  EXPECT_THAT(notes.read(), IsEmpty());
  ASSERT_THAT(notes.write({"/runs/p/b", {"jsonl+file:///x"}}), IsOk());
  ASSERT_THAT(notes.write({"/runs/p/a \"\n", {"influx+http://h/d", "jsonl+file:///y"}}), IsOk());
  ASSERT_THAT(notes.write({"/runs/p/b", {"jsonl+file:///z"}}), IsOk());
  std::ofstream(folder + "/torn.json") << "{\"dir\": \"/ru";
  const auto runs = notes.read();
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].dir, "/runs/p/a \"\n");
  EXPECT_THAT(runs[0].sinks, ElementsAre("influx+http://h/d", "jsonl+file:///y"));
  EXPECT_THAT(runs[1].sinks, ElementsAre("jsonl+file:///z"));
  notes.remove("/runs/p/b");
  EXPECT_EQ(notes.read().size(), 1u);
  EXPECT_EQ(std::filesystem::status(folder).permissions(), std::filesystem::perms::owner_all);
}

TEST(UnsentNotesTest, WithoutAHomeNothingIsKept) {
  const UnsentNotes notes("", "/run/ringlog");
  ASSERT_THAT(notes.write({"/runs/p/a", {}}), IsOk());
  notes.remove("/runs/p/a");
  EXPECT_THAT(notes.read(), IsEmpty());
}

}  // namespace
}  // namespace ringlog::service
