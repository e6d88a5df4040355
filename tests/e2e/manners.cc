// What a service inside a program leaves alone: the program's signals, descriptors, mask and
// threads.  Prints each thing that is not as it was; nothing when all is well.

#include <ringlog/ringlog.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

namespace {

namespace fs = std::filesystem;

volatile sig_atomic_t g_strange_threads = 0;
pid_t g_main_thread = 0;

void on_signal(int) {
  if (::gettid() != g_main_thread) g_strange_threads = 1;
}

void expect(bool holds, const std::string& what) {
  if (!holds) std::printf("%s\n", what.c_str());
}

size_t count_of(const char* folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), {}));
}

std::set<std::string> thread_names() {
  std::set<std::string> names;
  for (const auto& thread : fs::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(thread.path() / "comm") >> std::ws, name);
    names.insert(name);
  }
  return names;
}

constexpr std::array kSignals{SIGPIPE, SIGINT, SIGHUP, SIGTERM, SIGCHLD, SIGUSR1};

std::array<sighandler_t, kSignals.size()> dispositions() {
  std::array<sighandler_t, kSignals.size()> all{};
  for (size_t i = 0; i < kSignals.size(); ++i) {
    struct sigaction action {};
    ::sigaction(kSignals[i], nullptr, &action);
    all[i] = action.sa_handler;
  }
  return all;
}

// A pipe of which the program has closed one end is at its end for whoever reads it.
void expect_pipe_ends(const std::array<int, 2>& ends) {
  ::close(ends[1]);
  pollfd entry{ends[0], POLLIN, 0};
  char byte = 0;
  const bool has_ended = ::poll(&entry, 1, 10'000) == 1 && ::read(ends[0], &byte, 1) == 0;
  expect(has_ended, "the service holds a pipe of the program open");
}

void log_rows(ringlog::Run& run, int count) {
  for (int i = 0; i < count; ++i) run.log({{"loss", 1.0 / (i + 1)}});
}

}  // namespace

int main() {
  g_main_thread = ::gettid();
  ::umask(022);
  ::signal(SIGUSR1, on_signal);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return 1;
  const auto before = dispositions();
  const size_t fds_before = count_of("/proc/self/fd");
  {
    auto run = ringlog::init({.in_process = true});
    log_rows(run, 1000);
    expect(run.ok(), "disabled: " + run.error().message);
    expect(dispositions() == before, "signals are handled in another way");
    // Those of a session: its connection, its segment, its doorbell.
    constexpr size_t kFdsOfSession = 3;
    expect(count_of("/proc/self/fd") <= fds_before + kFdsOfSession, "descriptors of the service");
    expect_pipe_ends(ends);
    for (int i = 0; i < 100; ++i) ::kill(::getpid(), SIGUSR1);
    expect(g_strange_threads == 0, "signals run handlers on threads of the service");
    expect(::umask(022) == 022, "another umask");
    expect(run.finish().stored == 1000, "rows are not stored when finish() returns");
  }
  for (const std::string& name : thread_names()) {
    // The one that waits for the next run, and LevelDB's, which has no name of its own.
    expect(name == "e2e_manners" || name == "ringlog", "the thread " + name + " is left");
  }
  return 0;
}
