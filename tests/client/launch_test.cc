// Finding the service's program and its directory.

#include "client/launch.h"

#include "client/runtime_dir.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "environment.h"
#include "result_matchers.h"
#include "temp_dir.h"
#include "watchdog.h"

namespace ringlog::client {
namespace {

using test::FailsWith;
using test::IsOk;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string make_program(const std::string& path, const std::string& text = "#!/bin/sh\nexit 0\n") {
  std::ofstream(path) << text;
  ::chmod(path.c_str(), 0755);
  return path;
}

class LaunchTest : public ::testing::Test {
 protected:
  test::Environment env;
  test::TempDir dir;
};

TEST_F(LaunchTest, VariableNamesTheProgram) {
  env.set("RINGLOG_SERVICE", make_program(dir.file("my-service")));
  auto program = find_service_program();
  ASSERT_THAT(program, IsOk());
  EXPECT_EQ(*program, dir.file("my-service"));
}

TEST_F(LaunchTest, VariableThatNamesNoProgramIsAnError) {
  std::ofstream(dir.file("text")) << "x";
  for (const std::string& path : {dir.file("missing"), dir.file("text"), dir.path()}) {
    env.set("RINGLOG_SERVICE", path);
    if (::geteuid() == 0 && path == dir.file("text")) ::chmod(path.c_str(), 0600);
    EXPECT_THAT(find_service_program(),
                FailsWith(Code::kNotFound, "RINGLOG_SERVICE is " + path +
                                               ", which is not a program that can be run"));
  }
}

TEST_F(LaunchTest, PathIsSearchedAndTheMessageNamesEveryPlace) {
  env.set("PATH", dir.file("one") + "::" + dir.file("two"));
  auto program = find_service_program();
  if (program) {  // beside these tests, which comes first
    EXPECT_THAT(*program, EndsWith("/ringlogd"));
    return;
  }
  EXPECT_THAT(program,
              FailsWith(Code::kNotFound, AllOf(HasSubstr(dir.file("one") + "/ringlogd"),
                                               HasSubstr(dir.file("two") + "/ringlogd"),
                                               HasSubstr("set RINGLOG_SERVICE to its path"))));
  std::filesystem::create_directory(dir.file("two"));
  make_program(dir.file("two/ringlogd"));
  program = find_service_program();
  ASSERT_THAT(program, IsOk());
  EXPECT_EQ(*program, dir.file("two/ringlogd"));
}

TEST_F(LaunchTest, ServiceThatSaysWhyItCannotStartIsQuoted) {
  env.set("RINGLOG_SERVICE",
          make_program(dir.file("ringlogd"), "#!/bin/sh\necho 'the disk is full' >&3\n"));
  EXPECT_THAT(connect_or_launch(dir.file("run"), std::chrono::seconds(60)),
              FailsWith(Code::kServiceGone, dir.file("ringlogd") + ": the disk is full"));
}

TEST_F(LaunchTest, ServiceThatEndsWithoutAWordIsReported) {
  env.set("RINGLOG_SERVICE", make_program(dir.file("ringlogd")));
  EXPECT_THAT(connect_or_launch(dir.file("run"), std::chrono::seconds(60)),
              FailsWith(Code::kServiceGone, dir.file("ringlogd") + " ended while starting"));
}

// Found by reading: whoever came while a service was ending waited in vain for it to listen.
TEST_F(LaunchTest, ServiceThatEndsIsWaitedForAndTheNextStarted) {
  const test::Watchdog watchdog;
  const std::string script = "#!/bin/sh\necho >> " + dir.file("starts") + "\nif [ $(wc -l < " +
                             dir.file("starts") +
                             ") -lt 3 ]; then echo already running >&3; "
                             "else echo 'the disk is full' >&3; fi\n";
  env.set("RINGLOG_SERVICE", make_program(dir.file("ringlogd"), script));
  EXPECT_THAT(connect_or_launch(dir.file("run"), std::chrono::seconds(60)),
              FailsWith(Code::kServiceGone, dir.file("ringlogd") + ": the disk is full"));
}

TEST_F(LaunchTest, ServiceThatNeverEndsIsGivenUp) {
  const test::Watchdog watchdog;
  env.set("RINGLOG_SERVICE",
          make_program(dir.file("ringlogd"), "#!/bin/sh\necho already running >&3\n"));
  EXPECT_THAT(connect_or_launch(dir.file("run"), std::chrono::milliseconds(300)),
              FailsWith(Code::kServiceGone));
}

TEST_F(LaunchTest, ServiceGetsItsDirectoryAndNothingOfOurs) {
  // What it was started with, and its open descriptors.
  const std::string script =
      "#!/bin/sh\n(echo \"$@\"; cd /proc/$$/fd && echo *) > " + dir.file("report") + "\n";
  env.set("RINGLOG_SERVICE", make_program(dir.file("ringlogd"), script));
  const int leaked = ::open("/dev/null", O_RDONLY);  // not close-on-exec
  EXPECT_THAT(connect_or_launch(dir.file("run"), std::chrono::seconds(60)),
              FailsWith(Code::kServiceGone));
  ::close(leaked);
  std::ifstream report(dir.file("report"));
  std::string arguments;
  std::string descriptors;
  std::getline(report, arguments);
  std::getline(report, descriptors);
  EXPECT_EQ(arguments, "--runtime-dir " + dir.file("run") + " --ready-fd 3 --started-by-client");
  // The shell itself reads the script from a descriptor above 9.
  std::istringstream numbers(descriptors);
  std::vector<int> low;
  for (int number = 0; numbers >> number;) {
    if (number < 10) low.push_back(number);
  }
  std::sort(low.begin(), low.end());
  EXPECT_THAT(low, ElementsAre(0, 1, 2, 3)) << descriptors;
}

TEST_F(LaunchTest, ServiceThatIsNotReadyInTimeIsGivenUp) {
  const test::Watchdog watchdog;
  ASSERT_EQ(::mkfifo(dir.file("fifo").c_str(), 0600), 0);
  env.set("RINGLOG_SERVICE",
          make_program(dir.file("ringlogd"), "#!/bin/sh\ncat " + dir.file("fifo") + " &\n"));
  EXPECT_THAT(
      connect_or_launch(dir.file("run"), std::chrono::milliseconds(50)),
      FailsWith(Code::kServiceGone, dir.file("ringlogd") + " did not become ready in time"));
  // Ends the program.
  ::close(::open(dir.file("fifo").c_str(), O_WRONLY));
}

TEST_F(LaunchTest, DirectoryThatOthersMayEnterIsRefused) {
  ::mkdir(dir.file("run").c_str(), 0700);
  ::chmod(dir.file("run").c_str(), 0755);
  EXPECT_THAT(connect_or_launch(dir.file("run"), std::chrono::seconds(60)),
              FailsWith(Code::kPermission, AllOf(StartsWith("runtime directory: "),
                                                 HasSubstr("chmod 0700 " + dir.file("run")))));
}

TEST_F(LaunchTest, RuntimeDirectoryIsTheFirstThatIsNamed) {
  const std::string uid = std::to_string(::geteuid());
  const std::string fallback =
      (std::filesystem::is_directory("/dev/shm") ? "/dev/shm/ringlog-" : "/tmp/ringlog-") + uid;
  EXPECT_EQ(runtime_dir(), fallback);
  env.set("XDG_RUNTIME_DIR", dir.path());
  EXPECT_EQ(runtime_dir(), dir.file("ringlog"));
  env.set("XDG_RUNTIME_DIR", dir.file("missing"));
  EXPECT_EQ(runtime_dir(), fallback) << "a directory that is gone is no place";
  env.set("XDG_RUNTIME_DIR", "relative");
  EXPECT_EQ(runtime_dir(), fallback);
  env.set("XDG_RUNTIME_DIR", dir.path());
  env.set("RINGLOG_RUNTIME_DIR", "/some//where/./");
  EXPECT_EQ(runtime_dir(), "/some/where");
  env.set("RINGLOG_RUNTIME_DIR", "here");
  EXPECT_EQ(runtime_dir(), (std::filesystem::current_path() / "here").string());
  env.set("RINGLOG_RUNTIME_DIR", "");
  EXPECT_EQ(runtime_dir(), dir.file("ringlog"));
}

TEST_F(LaunchTest, SocketPathThatIsTooLongGoesThroughTheDescriptor) {
  EXPECT_EQ(socket_path("/run/x", 7), "/run/x/service.sock");
  const size_t room = sizeof(sockaddr_un::sun_path) - sizeof("/service.sock");
  const std::string fits = "/" + std::string(room - 1, 'd');
  EXPECT_EQ(socket_path(fits, 7), fits + "/service.sock");
  EXPECT_EQ(socket_path(fits + "d", 7), "/proc/self/fd/7/service.sock");
}

}  // namespace
}  // namespace ringlog::client
