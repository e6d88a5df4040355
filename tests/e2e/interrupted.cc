// Programs that fork, get signals, end threads or finish while something else of theirs is inside
// the library, one scenario per --case.  Where a scenario needs the service to stand still it says
// "ready" and goes on with each line of standard input.

#include <ringlog/ringlog.h>

#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "options.h"

// The C library's on_exit() takes a lock that children inherit.  Ours stays in it for a while when
// a scenario asks for it.
namespace {
std::atomic<bool> g_is_exit_slow{false};
std::atomic<bool> g_is_in_on_exit{false};
}  // namespace

extern "C" __attribute__((visibility("default"))) int on_exit(void (*handler)(int, void*),
                                                              void* argument) noexcept {
  using OnExit = int (*)(void (*)(int, void*), void*);
  static const auto kReal = reinterpret_cast<OnExit>(::dlsym(RTLD_NEXT, "on_exit"));
  g_is_in_on_exit = true;
  if (g_is_exit_slow) ::poll(nullptr, 0, 200);
  const int result = kReal(handler, argument);
  g_is_in_on_exit = false;
  return result;
}

namespace {

using ringlog::Run;
using std::chrono::seconds;

void expect(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "e2e_interrupted: %s\n", what.c_str());
  std::_Exit(1);
}

void tell(const char* line) {
  std::puts(line);
  std::fflush(stdout);
}

// Waits for a line of standard input: the test has done its part.
void wait_for_test() {
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n') {
  }
}

void wait_for_child(pid_t pid) {
  int status = 0;
  expect(::waitpid(pid, &status, 0) == pid && status == 0, "a child failed");
}

// A child is forked while another thread waits in finish(); the service stands still.
void fork_in_finish(Run& run) {
  run.log({{"i", 0}});
  tell("ready");
  wait_for_test();
  std::thread finisher([&run] { run.finish(0, seconds(60)); });
  while (run.ok()) std::this_thread::yield();  // it has begun
  const pid_t pid = ::fork();
  if (pid == 0) {
    run.finish(0, seconds(1));
    ::_exit(0);
  }
  wait_for_child(pid);
  tell("child");
  finisher.join();
}

// A child is forked while the first row of another thread registers an exit handler.
void fork_in_on_exit(Run&) {
  g_is_exit_slow = true;
  std::thread other([] { ringlog::init({.run_id = "other"}).log({{"i", 0}}); });
  while (!g_is_in_on_exit) std::this_thread::yield();
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(g_is_in_on_exit ? 1 : 0);
  wait_for_child(pid);
  other.join();
}

// Children are forked while another thread alerts, and alert themselves.
void fork_in_alert(Run& run) {
  std::atomic<bool> stop{false};
  const auto alert = [&run] {
    run.alert("title", "text", ringlog::AlertLevel::kInfo, std::chrono::hours(1));
  };
  std::thread other([&] {
    while (!stop) alert();
  });
  for (int i = 0; i < 60; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      alert();
      ::_exit(0);
    }
    wait_for_child(pid);
  }
  stop = true;
  other.join();
}

Run* g_run = nullptr;

// Objects of a thread that log when it ends, before and after those of the library itself.
struct LogsAtTheEnd {
  int who = 0;
  ~LogsAtTheEnd() { g_run->log({{"bye", who}}); }
};

void thread_locals(Run& run) {
  g_run = &run;
  for (int i = 0; i < 40; ++i) {
    std::thread([i] {
      thread_local LogsAtTheEnd last;
      last.who = i;
      g_run->log({{"hello", i}});
      thread_local LogsAtTheEnd first;
      first.who = i;
    }).join();
  }
}

std::atomic<int> g_signals{0};

void log_from_handler(int) { g_run->log({{"i", g_signals.fetch_add(1)}}); }

// The first row of the thread, and of the run, comes from a handler, in the middle of a question.
void signal_first(Run& run) {
  Run other = ringlog::init({.run_id = "other"});
  g_run = &other;
  struct sigaction action {};
  action.sa_handler = log_from_handler;
  ::sigaction(SIGALRM, &action, nullptr);
  const itimerval every_200us{{0, 200}, {0, 200}};
  ::setitimer(ITIMER_REAL, &every_200us, nullptr);
  uint64_t answers = 0;
  while (g_signals < 100) answers += run.sync_status().stored + other.sync_status().stored;
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  std::printf("{\"signals\":%d}\n", g_signals.load());
}

// A child is forked while the service stands still, and logs on when it does not.
void fork_beside_a_service_that_stands_still(Run& run) {
  run.log({{"i", 0}});
  tell("ready");
  wait_for_test();
  const pid_t pid = ::fork();
  if (pid == 0) {
    int rows = 0;
    for (; rows < 10; ++rows) run.log({{"i", rows}});
    expect(!run.ok(), "nobody answers the child");
    tell("child");
    wait_for_test();
    while (!run.ok()) run.log({{"i", rows++}}), ::poll(nullptr, 0, 10);
    run.log({{"i", rows++}});
    std::printf("{\"rows\":%d}\n", rows);
    std::exit(0);
  }
  wait_for_child(pid);
}

// Ten threads wait for room, some of them for the ring that they share, when the run is finished.
void finish_while_they_wait(Run& run) {
  constexpr int kThreads = 10;
  tell("ready");
  wait_for_test();
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> rows{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; !stop; ++i) {
        if (!run.ok()) return;
        ++rows;
        run.log({{"who", t}, {"i", i}});
      }
    });
  }
  for (uint64_t before = 1; before != rows;) {
    before = rows;
    ::poll(nullptr, 0, 50);  // until nobody gets a row in
  }
  const auto begin = std::chrono::steady_clock::now();
  std::thread finisher([&run] { run.finish(0, seconds(60)); });
  for (std::thread& thread : threads) thread.join();
  const auto took = std::chrono::steady_clock::now() - begin;
  expect(took < seconds(30), "who waits gives up when the run is finished");
  tell("finished");
  finisher.join();
  std::printf("{\"rows\":%zu}\n", size_t{rows.load()});
}

// A row that cannot be kept at all comes while others of before are kept for later.
void coalesce_and_too_large(Run& run) {
  run.log({{"i", 0}});
  tell("ready");
  wait_for_test();
  int rows = 1;
  while (run.sync_status().dropped == 0) run.log({{"i", rows++}});
  const uint64_t stored = run.sync_status().stored;
  tell("full");
  wait_for_test();
  while (run.sync_status().stored == stored) std::this_thread::yield();  // there is room again
  const std::string text(size_t{65} << 20, 'x');
  run.log({{"text", text}});
  run.log({{"i", rows++}});
  const ringlog::FinishReport report = run.finish();
  std::printf("{\"rows\":%d,\"attempted\":%zu,\"stored\":%zu,\"dropped\":%zu}\n", rows + 1,
              size_t{report.attempted}, size_t{report.stored}, size_t{report.dropped});
}

// Rows that must go over the socket, of a program that asked not to wait.
void large_rows_in_silence(Run& run) {
  run.log({{"i", 0}});
  tell("ready");
  wait_for_test();
  const std::string text(size_t{100} << 10, 'x');
  constexpr int kRows = 200;
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int row = 0; row < kRows; ++row) run.log({{"text", text}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto took = std::chrono::steady_clock::now() - begin;
  expect(took < seconds(30), "a service that does not answer is waited for once");
  tell("logged");
  wait_for_test();
  // What it waits for is the service, which may take its time to be seen.
  for (uint64_t stored = run.sync_status().stored; run.sync_status().stored == stored;) {
    run.log({{"text", text}});
    ::poll(nullptr, 0, 10);
  }
  const ringlog::FinishReport report = run.finish();
  std::printf("{\"attempted\":%zu,\"stored\":%zu,\"dropped\":%zu}\n", size_t{report.attempted},
              size_t{report.stored}, size_t{report.dropped});
}

}  // namespace

int main(int argc, char** argv) {
  const e2e::Options options(argc, argv);
  const std::string name = options.text("case");
  Run run = ringlog::init();
  expect(run.ok(), run.error().message);
  if (name == "fork_in_finish") fork_in_finish(run);
  if (name == "fork_in_alert") fork_in_alert(run);
  if (name == "fork_in_on_exit") fork_in_on_exit(run);
  if (name == "thread_locals") thread_locals(run);
  if (name == "signal_first") signal_first(run);
  if (name == "finish_while_they_wait") finish_while_they_wait(run);
  if (name == "fork_in_silence") fork_beside_a_service_that_stands_still(run);
  if (name == "large_rows_in_silence") large_rows_in_silence(run);
  if (name == "coalesce_and_too_large") coalesce_and_too_large(run);
  return 0;
}
