// Names of runs and projects, and small things that are named by us.

#include "daemon/names.h"

#include <gtest/gtest.h>

#include <set>

#include "daemon/limits.h"
#include "daemon/sinks/sink.h"
#include "daemon_fixture.h"

namespace ringlog::service {
namespace {

using ::testing::HasSubstr;

TEST(Names, RunIdsBecomeFolders) {
  for (const char* good : {"a", "v98m9h5b", "run 1", "größe", "a.b", "...", "x%20y"}) {
    EXPECT_THAT(check_run_id(good), IsOk()) << good;
  }
  EXPECT_THAT(check_run_id(std::string(kNameSizeMax, 'x')), IsOk());
  EXPECT_THAT(check_run_id(std::string(kNameSizeMax + 1, 'x')), FailsWith(Code::kInvalidArgument));
  for (const char* bad : {"", ".", "..", "a/b", "a:b", "a;b", "a,b", "a#b", "a?b", "a\\b", "a'b",
                          "a\nb", "a\x7f", "\xff"}) {
    EXPECT_THAT(check_run_id(bad), FailsWith(Code::kInvalidArgument, HasSubstr("run_id"))) << bad;
  }
}

TEST(Names, ProjectsHaveTheirOwnRules) {
  EXPECT_THAT(check_project("it's, a project;"), IsOk());
  for (const char* bad : {"", "..", "a/b", "a\\b", "a#b", "a?b", "a%b", "a:b", "a\tb"}) {
    EXPECT_THAT(check_project(bad), FailsWith(Code::kInvalidArgument, HasSubstr("project"))) << bad;
  }
}

TEST(Names, RootsAreAbsolute) {
  EXPECT_THAT(check_root("/a/b"), IsOk());
  EXPECT_THAT(check_root("a/b"), FailsWith(Code::kInvalidArgument, HasSubstr("absolute")));
  EXPECT_THAT(check_root(""), FailsWith(Code::kInvalidArgument));
}

TEST(Names, NewRunIdsAreEightCharactersAndValid) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = new_run_id();
    EXPECT_EQ(id.size(), 8u);
    EXPECT_EQ(id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789"), std::string::npos);
    EXPECT_TRUE(ids.insert(id).second);
  }
}

TEST(Names, HashesNeverChange) {
  EXPECT_EQ(stable_hash(""), 0xcbf29ce484222325u);
  EXPECT_EQ(stable_hash("/dev/shm/x"), stable_hash("/dev/shm/x"));
  EXPECT_NE(stable_hash("/dev/shm/x"), stable_hash("/dev/shm/y"));
}

TEST(Sinks, AreKnownByTheirScheme) {
  EXPECT_THAT(check_sink("jsonl+file:///tmp/x.jsonl"), IsOk());
  EXPECT_THAT(check_sink("jsonl+file://x.jsonl"), FailsWith(Code::kInvalidArgument));
  EXPECT_THAT(
      check_sink("carrier+pigeon://user:secret@coop/1?token=secret"),
      FailsWith(Code::kInvalidArgument,
                ::testing::AllOf(HasSubstr("carrier+pigeon://user@coop/1"),
                                 HasSubstr("jsonl+file://"), ::testing::Not(HasSubstr("secret")))));
}

TEST(Sinks, AreShownWithoutTheirPassword) {
  EXPECT_EQ(without_credentials("a+https://user:pw@host:1/p?q=@x"), "a+https://user@host:1/p?q=@x");
  EXPECT_EQ(without_credentials("a+https://user@host:1"), "a+https://user@host:1");
  EXPECT_EQ(without_credentials("a+https://host:1/p@q"), "a+https://host:1/p@q");
  EXPECT_EQ(without_credentials("a://u:p@w@host"), "a://u@host");
  EXPECT_EQ(without_credentials("a://:p@host"), "a://host");
  EXPECT_EQ(without_credentials("no url"), "no url");
}

TEST(Sinks, TakeNoPasswordFromTheirUrl) {
  EXPECT_THAT(check_sink("clickhouse+https://me@h:8443/db?compress=gzip&timeout_s=5"), IsOk());
  EXPECT_THAT(
      check_sink("clickhouse+http://me:secret@h/db"),
      FailsWith(Code::kInvalidArgument, ::testing::AllOf(HasSubstr("clickhouse+http://me@h/db"),
                                                         HasSubstr("CLICKHOUSE_PASSWORD"),
                                                         ::testing::Not(HasSubstr("secret")))));
}

TEST(Sinks, SayWhatIsWrongWithTheirUrl) {
  const auto says = [](const std::string& url, const std::string& text) {
    EXPECT_THAT(check_sink(url), FailsWith(Code::kInvalidArgument, HasSubstr(text))) << url;
  };
  says("clickhouse+httpx://h/db", "neither clickhouse+http:// nor");
  says("clickhouse+http:///db", "names no host");
  says("clickhouse+http://h/a b", "space or control character");
  says("clickhouse+http://h/db?pasword=x", "unknown option pasword; known are: compress timeout_s");
  says("clickhouse+http://h/db?compress=lz4", "compress=lz4 is not none, gzip or zstd");
  says("clickhouse+http://h/db?timeout_s=0", "timeout_s=0 is not a number of seconds from 1");
}

}  // namespace
}  // namespace ringlog::service
