// Settings: which layer wins, and what each says when it cannot be used.

#include "client/settings_layers.h"

#include "client/exec_place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "environment.h"
#include "result_matchers.h"
#include "temp_dir.h"

namespace ringlog::client {
namespace {

using test::FailsWith;
using test::IsOk;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class SettingsTest : public ::testing::Test {
 protected:
  SettingsTest() {
    std::filesystem::create_directory(dir.file("ringlog"));
    env.set("XDG_CONFIG_HOME", dir.path());
  }

  void write_file(const std::string& text) { std::ofstream(file) << text; }
  Result<ResolvedSettings> resolve(const Settings& arguments = {}) {
    return resolve_settings(argument_fields(arguments));
  }
  ResolvedSettings resolved(const Settings& arguments = {}) {
    auto settings = resolve(arguments);
    EXPECT_THAT(settings, IsOk());
    return settings ? *settings : ResolvedSettings{};
  }
  Result<ResolvedSettings> with_variable(const char* name, const std::string& value) {
    env.set(name, value);
    auto settings = resolve();
    env.unset(name);
    return settings;
  }

  test::Environment env;
  test::TempDir dir;
  const std::string file = dir.file("ringlog/settings.toml");
};

TEST_F(SettingsTest, DefaultsAreThoseOfTheHeader) {
  const ResolvedSettings s = resolved();
  EXPECT_EQ(s.project, "uncategorized");
  EXPECT_EQ(s.run_id, "");
  EXPECT_EQ(s.mode, "online");
  EXPECT_EQ(s.rank, -1);
  EXPECT_EQ(s.attempt, -1);
  EXPECT_EQ(s.ring_bytes, 1024u * 1024);
  EXPECT_EQ(s.full_ring, FullRing::kWait);
  EXPECT_EQ(s.full_ring_wait_ms, 1000);
  EXPECT_EQ(s.durability, Durability::kStored);
  EXPECT_EQ(s.console, Console::kAuto);
  EXPECT_FALSE(s.strict);
  EXPECT_THAT(s.tags, IsEmpty());
  EXPECT_THAT(s.sinks, IsEmpty());
  EXPECT_EQ(s.dir, (std::filesystem::current_path() / "ringlog").string());
  EXPECT_THAT(s.notices, IsEmpty());
  EXPECT_THAT(s.origin, IsEmpty());
}

TEST_F(SettingsTest, ArgumentsWinOverVariablesOverTheLauncherOverTheFile) {
  write_file("rank = 1\nproject = 'file'\nname = 'file'\n");
  EXPECT_EQ(resolved().rank, 1);
  EXPECT_EQ(resolved().origin["rank"], file);
  env.set("RANK", "2");
  EXPECT_EQ(resolved().rank, 2);
  EXPECT_EQ(resolved().origin["rank"], "torchrun");
  env.set("RINGLOG_RANK", "3");
  EXPECT_EQ(resolved().rank, 3);
  EXPECT_EQ(resolved().origin["rank"], "RINGLOG_RANK");
  const ResolvedSettings s = resolved({.rank = 4});
  EXPECT_EQ(s.rank, 4);
  EXPECT_EQ(s.origin.at("rank"), "argument");
  EXPECT_EQ(s.project, "file") << "each field by itself";
}

TEST_F(SettingsTest, EveryFieldCanComeFromTheFile) {
  write_file(
      "project = 'p'\nrun_id = 'r'\nname = 'n'\ngroup = 'g'\ntags = ['a', 'b c']\nnotes = \"\"\""
      "two\nlines\"\"\"\ndir = '/data/runs/'\nmode = 'offline'\nrank = 3\nattempt = 1\n"
      "ring_bytes = 262144\nfull_ring = 'coalesce'\nfull_ring_wait_ms = 5\ndurability = 'synced'\n"
      "console = 'quiet'\nstrict = true\nsinks = ['wandb+https://a', 'influx+http://b']\n");
  const ResolvedSettings s = resolved();
  EXPECT_EQ(s.project, "p");
  EXPECT_EQ(s.run_id, "r");
  EXPECT_EQ(s.name, "n");
  EXPECT_EQ(s.group, "g");
  EXPECT_THAT(s.tags, ElementsAre("a", "b c"));
  EXPECT_EQ(s.notes, "two\nlines");
  EXPECT_EQ(s.dir, "/data/runs");
  EXPECT_EQ(s.mode, "offline");
  EXPECT_EQ(s.rank, 3);
  EXPECT_EQ(s.attempt, 1);
  EXPECT_EQ(s.ring_bytes, 262144u);
  EXPECT_EQ(s.full_ring, FullRing::kCoalesce);
  EXPECT_EQ(s.full_ring_wait_ms, 5);
  EXPECT_EQ(s.durability, Durability::kSynced);
  EXPECT_EQ(s.console, Console::kQuiet);
  EXPECT_TRUE(s.strict);
  EXPECT_THAT(s.sinks, ElementsAre("wandb+https://a", "influx+http://b"));
}

TEST_F(SettingsTest, EveryFieldCanComeFromAVariable) {
  for (const auto& [name, value] :
       std::vector<std::pair<const char*, std::string>>{{"RINGLOG_PROJECT", "p"},
                                                        {"RINGLOG_RUN_ID", "r"},
                                                        {"RINGLOG_NAME", "n"},
                                                        {"RINGLOG_GROUP", "g"},
                                                        {"RINGLOG_TAGS", "a,b c,,d"},
                                                        {"RINGLOG_NOTES", "x"},
                                                        {"RINGLOG_DIR", "runs"},
                                                        {"RINGLOG_MODE", "disabled"},
                                                        {"RINGLOG_RANK", "7"},
                                                        {"RINGLOG_ATTEMPT", "2"},
                                                        {"RINGLOG_RING_BYTES", "131072"},
                                                        {"RINGLOG_FULL_RING", "drop"},
                                                        {"RINGLOG_FULL_RING_WAIT_MS", "0"},
                                                        {"RINGLOG_DURABILITY", "stored"},
                                                        {"RINGLOG_CONSOLE", "off"},
                                                        {"RINGLOG_STRICT", "1"},
                                                        {"RINGLOG_IN_PROCESS", "1"},
                                                        {"RINGLOG_SINKS", "clickhouse+http://c"}}) {
    env.set(name, value);
  }
  const ResolvedSettings s = resolved();
  EXPECT_EQ(s.project, "p");
  EXPECT_EQ(s.run_id, "r");
  EXPECT_THAT(s.tags, ElementsAre("a", "b c", "d"));
  EXPECT_EQ(s.dir, (std::filesystem::current_path() / "runs").string());
  EXPECT_EQ(s.mode, "disabled");
  EXPECT_EQ(s.rank, 7);
  EXPECT_EQ(s.attempt, 2);
  EXPECT_EQ(s.ring_bytes, 131072u);
  EXPECT_EQ(s.full_ring, FullRing::kDrop);
  EXPECT_EQ(s.full_ring_wait_ms, 0);
  EXPECT_EQ(s.console, Console::kOff);
  EXPECT_TRUE(s.strict);
  EXPECT_THAT(s.sinks, ElementsAre("clickhouse+http://c"));
  EXPECT_TRUE(s.in_process);
  EXPECT_EQ(s.origin.size(), 18u);
  EXPECT_THAT(s.notices, IsEmpty());
}

TEST_F(SettingsTest, EveryFieldCanComeFromTheProgram) {
  Settings a;
  a.project = "p";
  a.run_id = "r";
  a.name = "n";
  a.group = "g";
  a.tags = {"a", "b"};
  a.notes = "x";
  a.dir = "/d";
  a.mode = "offline";
  a.rank = 0;
  a.attempt = 0;
  a.ring_bytes = 131072;
  a.full_ring = FullRing::kCoalesce;
  a.full_ring_wait_ms = 1;
  a.durability = Durability::kSynced;
  a.console = "off";
  a.strict = false;
  a.in_process = true;
  a.sinks = {"s"};
  const ResolvedSettings s = resolved(a);
  EXPECT_EQ(s.rank, 0);
  EXPECT_EQ(s.full_ring, FullRing::kCoalesce);
  EXPECT_EQ(s.durability, Durability::kSynced);
  EXPECT_TRUE(s.in_process);
  EXPECT_EQ(s.origin.size(), 18u);
  for (const auto& [field, source] : s.origin) EXPECT_EQ(source, "argument") << field;
}

struct Refusal {
  const char* variable;
  const char* value;
  const char* allowed;
};

TEST_F(SettingsTest, MonitorIsOffOrSeconds) {
  EXPECT_EQ(resolved().monitor_ms, 0) << "the service's default";
  const std::vector<std::pair<std::string, int32_t>> good = {
      {"off", -1}, {"0.1", 100}, {"2", 2000}, {"1.5", 1500}, {"3600", 3'600'000}};
  for (const auto& [text, ms] : good) {
    const auto settings = with_variable("RINGLOG_MONITOR", text);
    ASSERT_THAT(settings, IsOk()) << text;
    EXPECT_EQ(settings->monitor_ms, ms) << text;
  }
  for (const char* text : {"", "on", "0", "0.09", "-1", "3601", "nan", "1s", "1e99"}) {
    EXPECT_THAT(with_variable("RINGLOG_MONITOR", text),
                FailsWith(Code::kInvalidArgument, HasSubstr("off, or seconds")))
        << text;
  }
  for (const char* text : {"monitor = 0.5", "monitor = '0.5'"}) {
    write_file(text);
    EXPECT_EQ(resolved().monitor_ms, 500) << text;
  }
  Settings arguments;
  arguments.monitor = "off";
  EXPECT_EQ(resolved(arguments).monitor_ms, -1);
}

TEST_F(SettingsTest, RefusalsNameTheLayerTheFieldTheValueAndWhatIsAllowed) {
  const char* const rank = "a whole number from 0 to 1000000";
  const char* const ring = "a power of two from 131072 to 1073741824";
  const Refusal refusals[] = {
      {"RINGLOG_MODE", "on", "one of online, offline, disabled"},
      {"RINGLOG_RANK", "-1", rank},
      {"RINGLOG_RANK", "1.5", rank},
      {"RINGLOG_RANK", "", rank},
      {"RINGLOG_RANK", "99999999999999999999", rank},
      {"RINGLOG_ATTEMPT", "first", rank},
      {"RINGLOG_RING_BYTES", "1000000", ring},
      {"RINGLOG_RING_BYTES", "65536", ring},
      {"RINGLOG_RING_BYTES", "1M", ring},
      {"RINGLOG_FULL_RING", "block", "one of wait, drop, coalesce"},
      {"RINGLOG_FULL_RING_WAIT_MS", "3600001", "a whole number from 0 to 3600000"},
      {"RINGLOG_DURABILITY", "committed", "one of stored, synced"},
      {"RINGLOG_CONSOLE", "loud", "one of auto, off, quiet"},
      {"RINGLOG_STRICT", "yes", "one of true, 1, false, 0"},
      {"RINGLOG_NAME", "\xff", "UTF-8 text"},
      {"RINGLOG_TAGS", "\xff", "UTF-8 text"},
      {"RINGLOG_PROJECT", "a/b", "1 to 128 bytes of UTF-8"},
      {"RINGLOG_PROJECT", "..", "1 to 128 bytes of UTF-8"},
      {"RINGLOG_PROJECT", "", "1 to 128 bytes of UTF-8"},
      {"RINGLOG_RUN_ID", ".", "1 to 128 bytes of UTF-8"},
      {"RINGLOG_RUN_ID", "a\nb", "without control characters"},
      {"RINGLOG_RUN_ID", "a\x7f", "without control characters"},
      {"RINGLOG_RUN_ID", "a:b", "none of :;,#?/'\\"},
  };
  for (const Refusal& r : refusals) {
    EXPECT_THAT(with_variable(r.variable, r.value),
                FailsWith(Code::kInvalidArgument,
                          ::testing::AllOf(StartsWith(std::string(r.variable) + " is \"" + r.value +
                                                      "\"; allowed: "),
                                           HasSubstr(r.allowed))))
        << r.variable << "=" << r.value;
  }
  EXPECT_THAT(with_variable("RINGLOG_RUN_ID", std::string(129, 'r')),
              FailsWith(Code::kInvalidArgument));
  EXPECT_THAT(with_variable("RINGLOG_RUN_ID", std::string(128, 'r')), IsOk());
}

TEST_F(SettingsTest, HowToFailIsKnownWhenAnotherSettingCannotBeUsed) {
  EXPECT_FALSE(failure_settings({}).strict);
  write_file("strict = true\nmode = 'x'\n");
  EXPECT_TRUE(failure_settings({}).strict);
  EXPECT_FALSE(failure_settings({{"strict", "false"}}).strict);
  env.set("RINGLOG_CONSOLE", "off");
  env.set("RINGLOG_RANK", "first");
  EXPECT_EQ(failure_settings({}).console, Console::kOff);
  EXPECT_EQ(failure_settings({{"console", "loud"}}).console, Console::kOff);
  env.set("RINGLOG_STRICT", "1");
  write_file("no toml");
  EXPECT_TRUE(failure_settings({}).strict);
  env.set("RINGLOG_STRICT", "perhaps");
  EXPECT_FALSE(failure_settings({}).strict);
}

TEST_F(SettingsTest, RefusalsOfOtherLayersNameThoseLayers) {
  EXPECT_THAT(resolve({.mode = "x"}),
              FailsWith(Code::kInvalidArgument, StartsWith("argument: mode is \"x\"; allowed: ")));
  EXPECT_THAT(resolve({.durability = Durability::kSent}),
              FailsWith(Code::kInvalidArgument, StartsWith("argument: durability is \"sent\"")));
  write_file("mode = 'x'\n");
  EXPECT_THAT(resolve(), FailsWith(Code::kInvalidArgument,
                                   StartsWith(file + ": mode is \"x\"; allowed: one of online")));
}

TEST_F(SettingsTest, FieldThatNobodyKnowsIsRefused) {
  EXPECT_THAT(resolve_settings({{"colour", "x"}}),
              FailsWith(Code::kInvalidArgument, "argument: there is no setting colour"));
  EXPECT_THAT(resolve_settings({{"projekt", "x"}}),
              FailsWith(Code::kInvalidArgument,
                        "argument: there is no setting projekt; did you mean project?"));
  write_file("projekt = 'x'\n");
  EXPECT_THAT(resolve(), FailsWith(Code::kInvalidArgument,
                                   file + ": there is no setting projekt; did you mean project?"));
}

TEST_F(SettingsTest, FileThatIsNoTomlIsRefusedWithItsLine) {
  write_file("project = 'p'\nmode = \n");
  EXPECT_THAT(resolve(), FailsWith(Code::kInvalidArgument, StartsWith(file + ":2: ")));
}

// The system would have used the part before it, and nobody would have been told.
TEST_F(SettingsTest, FolderWithANulIsRefused) {
  write_file("dir = \"a\\u0000b\"\n");
  EXPECT_THAT(resolve(),
              FailsWith(Code::kInvalidArgument, HasSubstr("a path in UTF-8 without NUL")));
}

// Found by this test: what had no form as text became an empty one, without a word.
TEST_F(SettingsTest, ValueOfAnotherTypeInTheFileIsRefused) {
  for (const char* text : {"name = 1.5", "notes = 2020-01-01", "group = ['a']", "name = {a = 1}"}) {
    write_file(text);
    EXPECT_THAT(resolve(), FailsWith(Code::kInvalidArgument,
                                     ::testing::AllOf(StartsWith(file + ": "), HasSubstr("of type"),
                                                      HasSubstr("a string, integer or boolean"))))
        << text;
  }
  for (const char* text : {"tags = [1, 2]", "tags = 3", "sinks = [['a']]"}) {
    write_file(text);
    EXPECT_THAT(resolve(), FailsWith(Code::kInvalidArgument, HasSubstr("a list of strings")))
        << text;
  }
  write_file("tags = 'one'\nrank = '4'\nstrict = 1\nname = 12\nin_process = true\n");
  const ResolvedSettings s = resolved();
  EXPECT_THAT(s.tags, ElementsAre("one"));
  EXPECT_EQ(s.rank, 4);
  EXPECT_TRUE(s.strict);
  EXPECT_EQ(s.name, "12");
  EXPECT_TRUE(s.in_process);
}

TEST_F(SettingsTest, FolderInPlaceOfTheFileIsSaid) {
  std::filesystem::create_directory(file);
  EXPECT_THAT(resolve(),
              FailsWith(Code::kInvalidArgument, file + " is a folder, not a file of settings"));
}

TEST_F(SettingsTest, FileIsFoundUnderHomeToo) {
  const test::TempDir home;
  std::filesystem::create_directories(home.file(".config/ringlog"));
  std::ofstream(home.file(".config/ringlog/settings.toml")) << "project = 'home'\n";
  env.set("HOME", home.path());
  EXPECT_EQ(resolved().project, "uncategorized");
  env.unset("XDG_CONFIG_HOME");
  EXPECT_EQ(resolved().project, "home");
  env.set("XDG_CONFIG_HOME", "relative/path");
  EXPECT_EQ(resolved().project, "home") << "a relative one is ignored, as the standard says";
}

TEST_F(SettingsTest, VariableThatIsNotOursIsReported) {
  env.set("RINGLOG_PROJEKT", "x");
  env.set("RINGLOG_SERVICE", "/bin/true");
  env.set("RINGLOG_RUNTIME_DIR", "/tmp");
  EXPECT_THAT(
      resolved().notices,
      ElementsAre("the variable RINGLOG_PROJEKT is not one of ringlog's and is ignored; did "
                  "you mean RINGLOG_PROJECT?"));
}

TEST_F(SettingsTest, DirIsMadeAbsoluteAndTidied) {
  const std::string here = std::filesystem::current_path().string();
  EXPECT_EQ(resolved({.dir = "a/../b/"}).dir, here + "/b");
  EXPECT_EQ(resolved({.dir = "/"}).dir, "/");
  EXPECT_EQ(resolved({.dir = "/x//y/."}).dir, "/x/y");
}

TEST_F(SettingsTest, ProgramUnderExecIsWhereItsRunIs) {
  env.set("RINGLOG_EXEC", exec_variable({"/runs", "outer", "abc"}));
  env.set("RINGLOG_RUN_ID", "abc");
  env.set("RINGLOG_PROJECT", "outer");
  env.set("RINGLOG_DIR", "/runs/");
  env.set("RINGLOG_OTHER", "said by exec");
  EXPECT_THAT(resolved().notices, IsEmpty());
  EXPECT_EQ(resolved().origin["project"], "ringlog exec");
  const ResolvedSettings joined = resolved({.project = "mine", .dir = "/elsewhere"});
  EXPECT_EQ(joined.project, "outer");
  EXPECT_EQ(joined.dir, "/runs");
  EXPECT_THAT(joined.notices, ElementsAre(HasSubstr("and not \"mine\" (argument)"),
                                          HasSubstr("set RINGLOG_DIR for exec")));
  const ResolvedSettings own = resolved({.project = "mine", .run_id = "b"});
  EXPECT_EQ(own.project, "mine") << "a run of its own";
  EXPECT_THAT(own.notices, ElementsAre(HasSubstr("RINGLOG_OTHER")));
  for (const ExecPlace& place : {ExecPlace{"/", "p", "r"}, ExecPlace{"/a/b", "p", "r"}}) {
    env.set("RINGLOG_EXEC", exec_variable(place));
    const auto read = read_exec_place();
    ASSERT_TRUE(read);
    EXPECT_EQ(read->dir, place.dir);
    EXPECT_EQ(read->project, "p");
    EXPECT_EQ(read->run_id, "r");
  }
  for (const char* text : {"", "abc", "/abc", "a/b", "a/b/c", "/a//c", "/a/b/", "///"}) {
    env.set("RINGLOG_EXEC", text);
    EXPECT_FALSE(read_exec_place()) << text;
  }
}

TEST_F(SettingsTest, LauncherGivesRankAttemptAndRunId) {
  env.set("RANK", "5");
  env.set("LOCAL_RANK", "1");
  env.set("WORLD_SIZE", "8");
  env.set("TORCHELASTIC_RESTART_COUNT", "2");
  env.set("TORCHELASTIC_RUN_ID", "job 7");
  const ResolvedSettings s = resolved();
  EXPECT_EQ(s.rank, 5);
  EXPECT_EQ(s.local_rank, 1);
  EXPECT_EQ(s.world_size, 8);
  EXPECT_EQ(s.attempt, 2);
  EXPECT_EQ(s.run_id, "job-7");
  EXPECT_EQ(s.origin.at("run_id"), "torchrun");
  EXPECT_EQ(resolved({.run_id = "mine"}).run_id, "mine");
}

}  // namespace
}  // namespace ringlog::client
