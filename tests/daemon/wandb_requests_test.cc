// The bodies of W&B's requests, byte by byte, what answers say, and what surrounds them.

#include "daemon/sinks/wandb_requests.h"

#include <gmock/gmock.h>

#include "daemon/sinks/netrc.h"
#include "daemon/sinks/sink.h"
#include "daemon/sinks/wandb_config.h"
#include "daemon/sinks/wandb_cursor.h"
#include "result_matchers.h"

namespace ringlog::service {
namespace {

using test::FailsWith;
using test::IsOk;
using ::testing::EndsWith;
using ::testing::HasSubstr;

const WandbPlace kPlace{.entity = "team", .project = "demo", .run = "r1"};

TEST(WandbRequests, StreamHoldsLinesUnderTheirNumbers) {
  const WandbBatch batch{.history = {R"({"loss":NaN,"_step":1})", R"({"_step":2})"},
                         .events = {R"({"system.cpu":1.0})"},
                         .output = {"2026-11-22T22:08:39.846061 said \"no\""}};
  const std::string body = stream_body({.batch = &batch,
                                        .history = 7,
                                        .events = 3,
                                        .output = 0,
                                        .summary = R"({"loss":1.5})",
                                        .uploaded = {"model.bin", "config.yaml"},
                                        .exit_code = 3});
  EXPECT_EQ(
      body,
      R"({"files":{"wandb-history.jsonl":{"offset":7,"content":["{\"loss\":NaN,\"_step\":1}",)"
      R"("{\"_step\":2}"]},"wandb-events.jsonl":{"offset":3,"content":)"
      R"(["{\"system.cpu\":1.0}"]},"output.log":{"offset":0,"content":)"
      R"(["2026-11-22T22:08:39.846061 said \"no\""]},"wandb-summary.json":{"offset":0,)"
      R"("content":["{\"loss\":1.5}"]}},"uploaded":["model.bin","config.yaml"],)"
      R"("complete":true,"exitcode":3})");
  EXPECT_EQ(stream_body({}), "{}") << "a sign of life";
  EXPECT_EQ(stream_body({.uploaded = {"a"}}), R"({"uploaded":["a"]})");
  EXPECT_EQ(stream_target({.entity = "a b", .project = "p", .run = "r"}),
            "/files/a%20b/p/r/file_stream");
}

TEST(WandbRequests, AnUpsertOfTheConfigAloneChangesNothingElse) {
  formats::WandbRun run;
  run.name = "a name";
  run.tags = {"a", "b"};
  EXPECT_THAT(upsert_body(kPlace, run, "{}", true),
              HasSubstr(R"("displayName":"a name","notes":null)"));
  EXPECT_THAT(
      upsert_body(kPlace, run, R"({"lr":{"value":0.1}})", false),
      EndsWith(R"("variables":{"id":null,"name":"r1","project":"demo","entity":"team",)"
               R"("groupName":null,"description":null,"displayName":null,"notes":null,)"
               R"("commit":null,"config":"{\"lr\":{\"value\":0.1}}","host":null,"debug":null,)"
               R"("program":null,"repo":null,"jobType":null,"state":null,"sweep":null,)"
               R"("tags":null,"summaryMetrics":null},"operationName":"UpsertBucket"})"));
}

TEST(WandbRequests, AnswersAreReadAndNonsenseIsSaid) {
  const WandbAnswer answer =
      read_upsert(R"({"data":{"upsertBucket":{"inserted":true,"bucket":{"project":{"name":"p",)"
                  R"("entity":{"name":"e"}}}}}})");
  EXPECT_EQ(answer.error, "");
  EXPECT_EQ(answer.entity + "/" + answer.project, "e/p");
  EXPECT_TRUE(answer.is_new);
  EXPECT_EQ(read_upsert(R"({"errors":[{"message":"no such team"}]})").error, "no such team");
  EXPECT_NE(read_upsert("<html>").error, "");
  EXPECT_NE(read_upsert(R"({"data":[]})").error, "");
  EXPECT_FALSE(read_resume(R"({"data":{"model":{"bucket":null}}})"));
  EXPECT_EQ(read_resume(R"({"data":{"model":{"bucket":{"historyLineCount":4}}}})")->history, 4u);
  EXPECT_TRUE(is_stopped(R"({"stopped":true})"));
  EXPECT_FALSE(is_stopped("[]"));
  EXPECT_NE(read_urls(R"({"data":{"createRunFiles":{"files":[]}}})").error, "");
}

TEST(WandbCursor, SurvivesARoundTripAndDamageIsSaid) {
  const WandbCursor cursor{.entity = "e",
                           .project = "p",
                           .history = 5,
                           .events = 6,
                           .output = 7,
                           .stats_ns = 8,
                           .has_ranks = true,
                           .step = 9,
                           .time_ns = 10,
                           .consoles = {{3, {.lsn = 4, .lines = 2}}},
                           .files = {{"a", "1:2"}},
                           .reach = WandbReach{.lanes = {{{1, 2}, 3}},
                                               .record_lsn = 4,
                                               .stats_ns = 5,
                                               .has_ranks = true,
                                               .ends_consoles = true}};
  EXPECT_EQ(*read_wandb_cursor(to_text(cursor)), cursor);
  EXPECT_THAT(read_wandb_cursor("{}"), FailsWith(Code::kCorrupt, HasSubstr("W&B")));
  EXPECT_THAT(read_wandb_cursor("nonsense"), FailsWith(Code::kCorrupt, HasSubstr("W&B")));
}

TEST(WandbSink, AUrlThatCannotBeUsedIsSaid) {
  EXPECT_THAT(check_sink("wandb+https://api.wandb.ai/team/project?interval_s=5"), IsOk());
  EXPECT_THAT(check_sink("wandb+http://127.0.0.1:8080"), IsOk());
  EXPECT_THAT(check_sink("wandb+https://h/a/b/c"),
              FailsWith(Code::kInvalidArgument, HasSubstr("ENTITY/PROJECT")));
  EXPECT_THAT(check_sink("wandb+https://me@h/a/b"),
              FailsWith(Code::kInvalidArgument, HasSubstr("WANDB_API_KEY")));
  EXPECT_THAT(check_sink("wandb+https://h/a/b?heartbeat_s=x"),
              FailsWith(Code::kInvalidArgument, HasSubstr("heartbeat_s=x")));
}

TEST(Netrc, PasswordsAreThoseOfTheHost) {
  constexpr std::string_view kText =
      "machine a login user password one\n"
      "macdef init\n machine b password no\n\n"
      "machine b\n  login user\n  password two\n"
      "default password three\n";
  EXPECT_EQ(netrc_password(kText, "a"), "one");
  EXPECT_EQ(netrc_password(kText, "b"), "two");
  EXPECT_EQ(netrc_password(kText, "c"), "three");
  EXPECT_EQ(netrc_password("machine a login password", "a"), std::nullopt);
}

}  // namespace
}  // namespace ringlog::service
