// Processes that fork, spawn and exec while they log, and threads that come and go, one scenario
// per
// --case.  Rows say who logged them: "who" (a number) and "i" (counted from 0).

#include <ringlog/ringlog.h>

#include <signal.h>
#include <spawn.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "options.h"

extern char** environ;

namespace {

using ringlog::Run;

void expect(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "e2e_fork_threads: %s\n", what.c_str());
  std::_Exit(1);
}

void log_rows(Run& run, int who, int begin, int end) {
  for (int i = begin; i < end; ++i) run.log({{"who", who}, {"i", i}});
}

void wait_for(pid_t pid) {
  int status = 0;
  expect(::waitpid(pid, &status, 0) == pid && status == 0, "a child failed");
}

// Children in a row, children of children, and the parent goes on in between.
void forks(Run& run) {
  log_rows(run, 0, 0, 100);
  std::vector<pid_t> children;
  for (int child = 1; child <= 4; ++child) {
    children.push_back(::fork());
    if (children.back() == 0) {
      log_rows(run, child, 0, 1000);
      const pid_t grandchild = ::fork();
      if (grandchild == 0) {
        log_rows(run, child + 10, 0, 500);
        std::exit(0);
      }
      log_rows(run, child, 1000, 1500);
      wait_for(grandchild);
      if (child == 1) std::exit(0);
      if (child == 2) ::_exit(0);
      run.finish();
      ::_exit(0);
    }
    log_rows(run, 0, child * 100, child * 100 + 100);
  }
  for (const pid_t pid : children) wait_for(pid);
  log_rows(run, 0, 500, 1000);
}

// A child that never logs leaves no trace.
void silent_child(Run& run) {
  log_rows(run, 0, 0, 10);
  const pid_t pid = ::fork();
  if (pid == 0) std::exit(0);
  wait_for(pid);
  log_rows(run, 0, 10, 20);
}

// A child that outlives its parent by far, and logs for the first time when it is told to.
void late_child(Run& run) {
  log_rows(run, 0, 0, 10);
  if (::fork() != 0) return;
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  log_rows(run, 1, 0, 300);
  ::_exit(0);
}

void fork_in_threads(Run& run) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&run, t] {
      for (int round = 0; round < 5; ++round) {
        log_rows(run, t, round * 1000, round * 1000 + 1000);
        const pid_t pid = ::fork();
        if (pid == 0) {
          log_rows(run, 100 + t * 10 + round, 0, 200);
          ::_exit(0);
        }
        wait_for(pid);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void short_threads(Run& run) {
  for (int batch = 0; batch < 100; ++batch) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 10; ++t) {
      threads.emplace_back([&run, who = batch * 10 + t] { log_rows(run, who, 0, 20); });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

void many_threads(Run& run) {
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 20; ++t) {
    threads.emplace_back([&run, &ready, t] {
      run.log({{"who", t}, {"i", 0}});
      ++ready;
      while (ready < 20) std::this_thread::yield();  // all of them live at the same time
      log_rows(run, t, 1, 5000);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Whoever is started from a logging process inherits nothing of ours.  The started program is `ls`
// on its own descriptors; the test reads what it prints.
void starts(Run& run) {
  log_rows(run, 0, 0, 100);
  std::fflush(stdout);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::execl("/bin/ls", "ls", "-l", "/proc/self/fd", nullptr);
    ::_exit(1);
  }
  wait_for(pid);
  std::string words[] = {"ls", "-l", "/proc/self/fd"};
  char* argv[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
  pid_t spawned = 0;
  expect(::posix_spawn(&spawned, "/bin/ls", nullptr, nullptr, argv, environ) == 0, "posix_spawn");
  wait_for(spawned);
  const pid_t quick = ::vfork();
  if (quick == 0) {
    ::execv("/bin/ls", argv);
    ::_exit(1);
  }
  wait_for(quick);
  log_rows(run, 0, 100, 200);
}

Run* g_run = nullptr;
std::atomic<int> g_signals{0};

void log_from_handler(int) { g_run->log({{"who", 1}, {"i", g_signals.fetch_add(1)}}); }

// A handler that logs interrupts log() itself.  What it could not log is counted, nothing hangs.
void signal_handler(Run& run) {
  g_run = &run;
  struct sigaction action {};
  action.sa_handler = log_from_handler;
  ::sigaction(SIGALRM, &action, nullptr);
  const itimerval every_200us{{0, 200}, {0, 200}};
  ::setitimer(ITIMER_REAL, &every_200us, nullptr);
  int rows = 0;
  while (g_signals < 500) log_rows(run, 0, rows, rows + 100), rows += 100;
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  std::printf("{\"rows\":%d,\"signals\":%d}\n", rows, g_signals.load());
}

// The same, when what it interrupts is whatever else the program asks of its run.
void signal_in_questions(Run& run) {
  g_run = &run;
  run.row({"a"}).log(0, 1.0, 2.0);  // so that error() has something to say
  log_from_handler(0);              // the first row of its keys needs memory
  struct sigaction action {};
  action.sa_handler = log_from_handler;
  ::sigaction(SIGALRM, &action, nullptr);
  const itimerval every_200us{{0, 200}, {0, 200}};
  ::setitimer(ITIMER_REAL, &every_200us, nullptr);
  size_t answers = 0;
  while (g_signals < 5000) {
    answers += run.error().message.size() + run.sync_status().stored;
  }
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  std::printf("{\"signals\":%d,\"answers\":%zu}\n", g_signals.load(), answers);
}

// Two runs at once, rows of both in turn from two threads.
void two_runs(Run& first) {
  Run second = ringlog::init({.run_id = "second"});
  const auto log_both = [&](int who) {
    for (int i = 0; i < 2000; ++i) {
      first.log({{"who", who}, {"i", i}});
      second.log({{"who", who + 10}, {"i", i}});
    }
  };
  std::thread other([&] { log_both(1); });
  log_both(0);
  other.join();
  first.finish();
  for (int i = 0; i < 100; ++i) second.log({{"who", 20}, {"i", i}});
}

// A run that lives until the end of the process, in a global made before main().
std::unique_ptr<Run> g_global;

void global_run() {
  g_global = std::make_unique<Run>(ringlog::init());
  log_rows(*g_global, 0, 0, 1000);
}

}  // namespace

int main(int argc, char** argv) {
  const e2e::Options options(argc, argv);
  const std::string name = options.text("case");
  if (name == "global_run") {
    global_run();
    return 0;
  }
  Run run = ringlog::init();
  expect(run.ok(), run.error().message);
  if (name == "forks") forks(run);
  if (name == "silent_child") silent_child(run);
  if (name == "late_child") late_child(run);
  if (name == "fork_in_threads") fork_in_threads(run);
  if (name == "short_threads") short_threads(run);
  if (name == "many_threads") many_threads(run);
  if (name == "starts") starts(run);
  if (name == "signal_handler") signal_handler(run);
  if (name == "signal_in_questions") signal_in_questions(run);
  if (name == "two_runs") two_runs(run);
  return 0;
}
