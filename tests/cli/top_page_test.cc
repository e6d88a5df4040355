// The page of top: what stands on it, and that it fits terminals of any size.

#include "cli/top_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "cli/format.h"

namespace ringlog::cli {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

// Two runs; the second one's store and sink are in trouble.
TopFrame example() {
  TopFrame frame;
  frame.now = {.pid = 3899, .version = "0.1.0", .threads = 5, .memory_bytes = 10 << 20};
  frame.cpu = 0.012;
  TopRun calm;
  calm.now = {.run_id = "train-a",
              .project = "demo",
              .state = "running",
              .live = 1,
              .logged = 100,
              .stored = 100};
  calm.logged = calm.stored = 12'345.6;
  calm.dropped = 0;
  calm.producers.push_back({{.producer = 1,
                             .rank = 0,
                             .pid = 41,
                             .logged = 100,
                             .stored = 100,
                             .rings = {{.used_bytes = 3, .capacity = 100}}},
                            12'345.6,
                            12'345.6,
                            0});
  TopRun pressed;
  pressed.now = {.run_id = "train-β",
                 .project = "demo",
                 .state = "running",
                 .store_error = "No space left on device",
                 .live = 1,
                 .dropped = 9,
                 .backlog_bytes = 1 << 20,
                 .lag_ms = 61'000};
  pressed.logged = 2.5;
  pressed.stored = 0;
  pressed.dropped = 3;
  pressed.producers.push_back(
      {{.producer = 1,
        .rank = 3,
        .attempt = 1,
        .worker = 2,
        .pid = 42,
        .is_waiting = true,
        .dropped = 9,
        .rings = {{.used_bytes = 97, .capacity = 100}, {.capacity = 100, .is_poisoned = true}}},
       2.5,
       0,
       3});
  pressed.sinks.push_back({{.url = "influx+http://host/db",
                            .state = "retrying",
                            .sent_rows = 10,
                            .lag_rows = 1234,
                            .last_error = "connection refused",
                            .lag_ms = 5'000},
                           0});
  frame.runs = {calm, pressed};
  return frame;
}

std::vector<std::string> draw(const TopFrame& frame, const Style& style = {},
                              const TopView& view = {}) {
  return top_lines(&frame, view, style);
}

TEST(TopPage, LooksLikeThis) {
  std::vector<std::string> lines = draw(example());
  EXPECT_THAT(lines.at(0), AllOf(HasSubstr("ringlogd 0.1.0, pid 3899, up "),
                                 HasSubstr(", CPU 1.2 %, memory 10.0 MiB, 5 threads")));
  lines.erase(lines.begin());
  EXPECT_THAT(
      lines,
      ElementsAre(
          "2 runs, 2 processes", "",
          "RUN      PROJECT  STATE    LIVE  LOGGED/S  STORED/S  BACKLOG         LAG  DROPPED",
          "train-a  demo     running     1    12,346    12,346      0 B         0 s        0",
          "train-β  demo     running     1       2.5         0  1.0 MiB  1 min 01 s        9",
          "run train-β: the store cannot be written: No space left on device", "",
          "SINK                   RUN      STATE     SENT  SENT/S    LAG  BEHIND  LAST ERROR",
          "influx+http://host/db  train-β  retrying    10       0  1,234  5.00 s  connection "
          "refused",
          "", "RANK  ATTEMPT  PID  RUN      FILL %  LOGGED/S  DROPPED  DROPPED/S  WAITS",
          "0           0   41  train-a  3         12,346        0          0",
          "3 w2        1   42  train-β  97 0!        2.5        9        3.0  yes"));
}

TEST(TopPage, RatesThatAreNotKnownAreDashes) {
  const TopFrame frame = make_frame(nullptr, {.runs = {{.run_id = "a", .dir = "a"}}});
  EXPECT_THAT(draw(frame), Contains(HasSubstr("-         -      0 B  0 s")));
}

TEST(TopPage, IsCutAndNeverWrapsAtAnyWidth) {
  for (const bool has_colour : {false, true}) {
    for (size_t width = 1; width <= 120; ++width) {
      const Style style{
          .has_colour = has_colour, .is_ascii = false, .width = width, .is_terminal = true};
      for (const std::string& line : draw(example(), style, {.help = "q quit"})) {
        std::string bare = line;
        for (size_t at = bare.find('\x1b'); at != std::string::npos; at = bare.find('\x1b')) {
          bare.erase(at, bare.find('m', at) + 1 - at);
        }
        ASSERT_LE(display_width(bare), width) << line;
        ASSERT_EQ(bare.find('\x1b'), std::string::npos);
      }
    }
  }
}

TEST(TopPage, HasColoursOnlyWhereTheyAreWanted) {
  Style style{.is_terminal = true};
  EXPECT_THAT(draw(example(), style), Each(Not(HasSubstr("\x1b"))));
  style.has_colour = true;
  EXPECT_THAT(draw(example(), style), Contains(HasSubstr("\x1b[31m97 0!\x1b[0m")));
}

TEST(TopPage, HasNoMoreLinesThanThereIsRoomFor) {
  for (size_t height = 1; height <= 40; ++height) {
    EXPECT_LE(draw(example(), {}, {.lines_max = height}).size(), height);
  }
}

TEST(TopPage, ShowsTheBusiestOfManyAndSaysHowManyAreLeftOut) {
  TopFrame frame = example();
  frame.runs.resize(1);
  for (int32_t rank = 1; rank <= 3000; ++rank) {
    TopProducer producer;
    producer.now.rank = rank;
    producer.logged = rank;
    frame.runs[0].producers.push_back(producer);
  }
  frame.runs[0].now.producers_left_out = 5;
  const auto screen = draw(frame, {}, {.lines_max = 24});
  EXPECT_THAT(screen, SizeIs(24));
  EXPECT_EQ(screen.back(), "and 2,990 more processes");
  EXPECT_THAT(screen.at(7), HasSubstr("12,346")) << "the busiest";
  EXPECT_THAT(screen.at(8), HasSubstr("3,000"));
  const auto page = draw(frame);
  EXPECT_EQ(page.back(), "and 2,906 more processes");
}

TEST(TopPage, ManyRunsLeaveRoomForTheirProcesses) {
  TopFrame frame = example();
  for (int i = 0; i < 200; ++i) {
    frame.runs.push_back(frame.runs[0]);
    frame.runs.back().sinks = frame.runs[1].sinks;
  }
  const auto lines = draw(frame, {}, {.lines_max = 30});
  EXPECT_THAT(lines, SizeIs(30));
  EXPECT_THAT(lines, Contains(HasSubstr("RANK")));
  EXPECT_THAT(lines, Contains("and 195 more runs"));
}

TEST(TopPage, WithoutAServiceItSaysWhy) {
  EXPECT_THAT(top_lines(nullptr, {.help = "q quit", .notice = "the service has ended"}, {}),
              ElementsAre("the service has ended", "q quit"));
}

TEST(TopPage, NamesCannotMoveTheCursor) {
  TopFrame frame = example();
  frame.runs[0].now.run_id = "a\x1b[2J";
  frame.runs[1].sinks[0].now.last_error = "b\r\n";
  EXPECT_THAT(draw(frame), Each(Not(HasSubstr("\x1b"))));
  EXPECT_THAT(draw(frame), Contains(HasSubstr("b\\r\\n")));
}

TEST(TopJson, HasWhatThePageHas) {
  const TopFrame frame = example();
  const Json json = top_json(&frame, "", 5'000'000'000);
  EXPECT_EQ(json["time"], 5.0);
  EXPECT_EQ(json["service"]["pid"], 3899);
  EXPECT_EQ(json["runs"][1]["lag"], 61.0);
  EXPECT_EQ(json["runs"][1]["producers"][0]["worker"], 2);
  EXPECT_EQ(json["runs"][1]["producers"][0]["rings"][1]["poisoned"], true);
  EXPECT_EQ(json["runs"][1]["sinks"][0]["behind"], 5.0);
  EXPECT_TRUE(json["interval"].is_null()) << "there was one look only";
}

TEST(TopJson, WithoutAServiceIsALineToo) {
  const Json json = top_json(nullptr, "the service has ended", 1);
  EXPECT_TRUE(json["service"].is_null());
  EXPECT_EQ(json["error"], "the service has ended");
  EXPECT_EQ(json["runs"], Json::array());
}

}  // namespace
}  // namespace ringlog::cli
