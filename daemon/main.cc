// ringlogd: the service, as a program: arguments, daemonising, readiness, log.

#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/runtime_dir.h"
#include "daemon/service.h"
#include "shm/posix.h"

#include <ringlog/version.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace ringlog::service {
namespace {

struct Options {
  std::string runtime_dir;
  int ready_fd = -1;
  int64_t idle_exit_s = kIdleExitS;
  bool is_foreground = false;
  bool is_started_by_client = false;
  bool is_version_asked = false;
  bool is_help_asked = false;
};

constexpr std::string_view kUsage =
    "usage: ringlogd --runtime-dir DIR [--ready-fd N] [--idle-exit-s N] [--started-by-client]\n"
    "                [--foreground] | --version | --help\n"
    "The service of ringlog; programs that log start it by themselves.\n";

Result<Options> parse(int argc, char** argv) {
  Options options;
  if (const char* text = std::getenv("RINGLOG_IDLE_EXIT_S")) options.idle_exit_s = std::atoll(text);
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const bool has_value = i + 1 < argc;
    if (word == "--foreground") {
      options.is_foreground = true;
    } else if (word == "--started-by-client") {
      options.is_started_by_client = true;
    } else if (word == "--version") {
      options.is_version_asked = true;
    } else if (word == "--help") {
      options.is_help_asked = true;
    } else if (word == "--runtime-dir" && has_value) {
      options.runtime_dir = argv[++i];
    } else if (word == "--ready-fd" && has_value) {
      options.ready_fd = std::atoi(argv[++i]);
    } else if (word == "--idle-exit-s" && has_value) {
      options.idle_exit_s = std::atoll(argv[++i]);
    } else {
      return Error{Code::kInvalidArgument,
                   std::string(word) +
                       " is not an option of ringlogd; options are --runtime-dir "
                       "DIR, --ready-fd N, --idle-exit-s N, --started-by-client, "
                       "--foreground, --version"};
    }
  }
  if (options.runtime_dir.empty() && !options.is_version_asked && !options.is_help_asked) {
    return Error{Code::kInvalidArgument, "ringlogd needs --runtime-dir DIR"};
  }
  return options;
}

void say(int fd, std::string_view text) {
  static_cast<void>(shm::write_all(fd, std::as_bytes(std::span(text)), "message"));
}

// Tells whoever started us: "1", or why not.
void tell_ready(Options& options, const std::string& text) {
  if (options.ready_fd < 0) return;
  say(options.ready_fd, text);
  ::close(std::exchange(options.ready_fd, -1));
}

int fail(Options& options, const std::string& why) {
  say(STDERR_FILENO, "ringlogd: " + why + "\n");
  tell_ready(options, why + "\n");
  return 1;
}

// The program that started us waits for its child, so the service itself is a grandchild.
Status leave_parent() {
  const pid_t child = ::fork();
  if (child < 0) return shm::errno_error("fork");
  if (child > 0) ::_exit(0);
  ::setsid();
  return Done{};
}

void set_up_process() {
  for (const int signal : {SIGINT, SIGHUP, SIGPIPE}) ::signal(signal, SIG_IGN);
  // Each attached process costs two descriptors, each run a LevelDB.
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  ::umask(077);
}

int serve(Options& options, const RuntimeDir& place) {
  auto service = Service::start(
      place, {.idle_exit_ms = options.is_started_by_client ? options.idle_exit_s * 1000 : -1});
  if (!service) return fail(options, service.error().message);
  tell_ready(options, "1");
  (*service)->run();
  service->reset();
  tidy_segment_dirs(place);
  return 0;
}

int run(int argc, char** argv) {
  auto parsed = parse(argc, argv);
  if (!parsed) {
    say(STDERR_FILENO, parsed.error().message + "\n");
    return 2;
  }
  Options& options = *parsed;
  if (options.is_help_asked) {
    say(STDOUT_FILENO, kUsage);
    return 0;
  }
  if (options.is_version_asked) {
    say(STDOUT_FILENO, "ringlogd " RINGLOG_VERSION "\n");
    return 0;
  }
  if (options.is_started_by_client && !options.is_foreground) {
    if (Status s = leave_parent(); !s) return fail(options, s.error().message);
  }
  set_up_process();
  auto place = claim_runtime_dir(options.runtime_dir);
  if (!place) return fail(options, place.error().message);
  if (!*place) {
    say(STDERR_FILENO, "ringlogd: already running in " + options.runtime_dir + "\n");
    tell_ready(options, "already running\n");
    return 0;
  }
  open_log((*place)->path + "/service.log", options.is_foreground);
  return serve(options, **place);
}

}  // namespace
}  // namespace ringlog::service

int main(int argc, char** argv) { return ringlog::service::run(argc, argv); }
