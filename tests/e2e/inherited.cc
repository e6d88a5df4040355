// What a forked child inherits of its parent's runs and may not touch, one scenario per --case.
// Rows say who logged them: "who" (a number) and "i" (counted from 0).

#include <pthread.h>
#include <ringlog/ringlog.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>

#include "options.h"

namespace {

using namespace std::chrono_literals;
using ringlog::Code;
using ringlog::Durability;
using ringlog::Run;

void expect(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "e2e_inherited: %s\n", what.c_str());
  std::_Exit(1);
}

void log_rows(Run& run, int who, int count) {
  for (int i = 0; i < count; ++i) run.log({{"who", who}, {"i", i}});
}

// Runs `body` in a child, which must end well.
template <typename Body>
void in_child(const Body& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    body();
    std::_Exit(0);
  }
  int status = 0;
  expect(::waitpid(pid, &status, 0) == pid && status == 0,
         "the child ended with status " + std::to_string(status));
}

void open_and_finish_one(const char* run_id) {
  Run run = ringlog::init({.run_id = run_id});
  log_rows(run, 0, 10);
  expect(run.finish().stored == 10, "the first run is stored");
}

// A run that was over before the fork: its addresses are free in the child, and what the child maps
// comes to lie there.
void after_a_run() {
  open_and_finish_one("first");
  in_child([] {
    Run second = ringlog::init({.run_id = "second"});
    log_rows(second, 1, 1000);
    expect(second.finish().stored == 1000, "the child's rows are stored");
  });
}

// The same, when the child goes on with a run that its parent still has.
void beside_a_run() {
  Run living = ringlog::init({.run_id = "second"});
  open_and_finish_one("first");
  in_child([&] {
    log_rows(living, 1, 1000);
    expect(living.finish().stored == 1000, "the child's rows are stored");
  });
}

// The answer to a question that the parent asked is the parent's.
void handle() {
  Run run = ringlog::init();
  log_rows(run, 0, 10);
  auto stored = run.flush(Durability::kStored);
  in_child([&] {
    const auto answer = stored.wait(1s);
    expect(!answer && answer.error().code == Code::kDisabled, "a child has no answers to wait for");
    [[maybe_unused]] const auto gone = std::move(stored);
  });
  const auto answer = stored.wait(30s);
  expect(answer && answer->stored == 10, "the parent gets its answer");
}

Run* g_run = nullptr;

// Registered before the library's own handlers, so that it runs before them in the child.
void log_early() {
  ::raise(SIGUSR1);
  g_run->log({{"who", 2}, {"i", 0}});
}

void log_from_handler(int) {
  const int before = errno;  // of what is interrupted
  g_run->log({{"who", 3}, {"i", 0}});
  expect(errno == before, "a row in a handler leaves errno alone");
}

// Signals, and other people's fork handlers, that log before the library knows of the fork.
void early_rows() {
  ::pthread_atfork(nullptr, nullptr, log_early);
  struct sigaction action {};
  action.sa_handler = log_from_handler;
  ::sigaction(SIGUSR1, &action, nullptr);
  Run run = ringlog::init();
  g_run = &run;
  log_rows(run, 0, 10);
  in_child([&] {
    log_rows(run, 1, 10);
    const ringlog::FinishReport report = run.finish();
    expect(report.attempted == 12 && report.stored == 11 && report.dropped == 1,
           "the signal's row is stored, the other one counted as dropped");
  });
}

size_t count_descriptors() {
  return static_cast<size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

// A chain of children: the last one holds no more than the first.
void generations(Run& run, int left, size_t expected) {
  in_child([&] {
    log_rows(run, left, 1);
    const size_t count = count_descriptors();
    expect(expected == 0 || count == expected,
           std::to_string(count) + " descriptors, not " + std::to_string(expected));
    if (left > 1) generations(run, left - 1, count);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const e2e::Options options(argc, argv);
  const std::string name = options.text("case");
  if (name == "after_a_run") after_a_run();
  if (name == "beside_a_run") beside_a_run();
  if (name == "handle") handle();
  if (name == "early_rows") early_rows();
  if (name == "generations") {
    Run run = ringlog::init();
    log_rows(run, 0, 1);
    generations(run, 8, 0);
  }
  return 0;
}
