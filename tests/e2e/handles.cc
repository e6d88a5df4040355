// Requests and their handles, one scenario per --case.  Each prints what it saw; handles_test.py
// knows what it should be.

#include <ringlog/ringlog.h>

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "options.h"

namespace {

using namespace std::chrono_literals;
using ringlog::Code;
using ringlog::Durability;
using ringlog::Positions;
using ringlog::Run;

int code_of(const ringlog::Error& error) { return static_cast<int>(error.code); }

void expect(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "e2e_handles: %s\n", what.c_str());
  std::exit(1);
}

template <typename T>
T take(ringlog::Handle<T> handle, const std::string& what) {
  ringlog::Result<T> result = handle.wait(30s);
  expect(static_cast<bool>(result), what + ": " + (result ? "" : result.error().message));
  return *std::move(result);
}

void log_rows(Run& run, int count) {
  for (int i = 0; i < count; ++i) run.log({{"loss", 1.0 / (i + 1)}});
}

// Waits for a line of standard input: the test has done its part.
void wait_for_test() {
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n') {
  }
}
void tell_test(const char* line) {
  std::puts(line);
  std::fflush(stdout);
}

// Every row logged before the request has reached the level that the answer says.
void flush_levels(Run& run) {
  log_rows(run, 1000);
  expect(take(run.flush(Durability::kStored), "stored").stored >= 1000, "1,000 rows stored");
  log_rows(run, 500);
  const Positions synced = take(run.flush(Durability::kSynced), "synced");
  expect(synced.synced >= 1500 && synced.stored >= synced.synced, "1,500 rows synced");
  expect(take(run.flush(Durability::kCommitted), "committed").stored <= 1500, "no row invented");
}

void about_the_run(Run& run) {
  const ringlog::RunInfo info = take(run.deliver_run(), "deliver_run");
  expect(info.run_id == run.id() && info.dir == run.dir() && info.name == run.name(), "its names");
  std::printf("{\"id\":\"%s\",\"project\":\"%s\",\"dir\":\"%s\"}\n", info.run_id.c_str(),
              info.project.c_str(), info.dir.c_str());
}

// A small reply fits its slot; a large one comes as a file descriptor.
void summaries(Run& run) {
  run.log({{"loss", 0.5}});
  std::puts(take(run.deliver_summary(), "small summary").c_str());
  for (int i = 0; i < 2000; ++i) {
    const std::string key = "metric" + std::to_string(i);
    const std::vector<ringlog::Item> items = {{key, i}};
    run.summary(items);
  }
  std::puts(take(run.deliver_summary(), "large summary").c_str());
  for (int i = 0; i < 200; ++i) {
    expect(take(run.deliver_summary(), "again").size() > 20'000, "a whole summary each time");
  }
}

// A handle that is given up frees its slot sooner or later: far more requests than slots.
void cancelled(Run& run) {
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    run.log({{"loss", i}});
    auto handle = run.flush(Durability::kStored);
    if (i % 3 == 0) {
      handle.cancel();
      expect(code_of(handle.wait(1s).error()) == code_of({Code::kInvalidArgument, ""}),
             "a cancelled handle is spent");
    } else if (i % 3 == 1) {
      const auto result = handle.wait(30s);
      refused += !result && result.error().code == Code::kBackpressure;
      expect(result || result.error().code == Code::kBackpressure, "an answer or no free slot");
    }  // else its destructor cancels
  }
  expect(take(run.flush(Durability::kStored), "the last one").stored == 2000, "all rows stored");
  std::printf("{\"refused\":%d}\n", refused);
}

// While the service is stopped: a timeout, a second one, 64 in flight, one more refused.  When it
// goes on every handle is answered.
void timeouts(Run& run) {
  run.log({{"loss", 1}});
  take(run.flush(Durability::kStored), "the service lives");
  tell_test("stop the service");
  wait_for_test();
  log_rows(run, 10);
  std::vector<ringlog::Handle<Positions>> handles;
  for (int i = 0; i < 64; ++i) handles.push_back(run.flush(Durability::kStored));
  auto refused = run.flush(Durability::kStored).wait(1s);
  expect(!refused && refused.error().code == Code::kBackpressure, "the 65th is refused");
  int looks = 0;
  for (int i = 0; i < 2; ++i) {
    const auto result = handles.front().wait(300ms, [&](const ringlog::Progress&) { ++looks; });
    expect(!result && result.error().code == Code::kTimeout, "a timeout, again and again");
  }
  expect(looks > 0, "somebody tells about the progress");
  tell_test("continue the service");
  for (auto& handle : handles) {
    const auto result = handle.wait(30s);
    expect(result && result->stored >= 11, "answered after all");
    const auto again = handle.wait(1s);
    expect(!again && again.error().code == Code::kInvalidArgument, "a spent handle says so");
  }
}

// The service dies under a request it may have taken: the handle fails within about a second.
void service_gone(Run& run) {
  run.log({{"loss", 1}});
  take(run.flush(Durability::kStored), "the service lives");
  tell_test("stop the service");
  wait_for_test();
  auto handle = run.flush(Durability::kStored);
  tell_test("kill the service");
  const auto begin = std::chrono::steady_clock::now();
  const auto result = handle.wait(60s);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("{\"seconds\":%.3f,\"code\":%d}\n", seconds, result ? 0 : code_of(result.error()));
  log_rows(run, 100);
  const ringlog::FinishReport report = run.finish();
  expect(report.attempted == 101 && report.stored == 101, "the next service stored everything");
}

// Handles made and waited for by many threads at once, each with its own ring or the shared one.
void many_threads(Run& run) {
  std::atomic<int> answers{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&run, &answers] {
      for (int i = 0; i < 100; ++i) {
        run.log({{"loss", i}});
        const auto result = run.flush(Durability::kStored).wait(30s);
        expect(result || result.error().code == Code::kBackpressure, "an answer");
        if (result) ++answers;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  expect(answers > 1000, "most requests found a slot");
  expect(take(run.flush(Durability::kStored), "the last one").stored == 1600, "all rows stored");
}

// deliver_finish() is finish() without waiting; its handle has the same report.
void finish_later(Run& run) {
  log_rows(run, 100);
  const ringlog::FinishReport report = take(run.deliver_finish(0), "deliver_finish");
  expect(report.attempted == 100 && report.stored == 100 && report.dropped == 0, "the report");
  const ringlog::FinishReport again = run.finish();
  expect(again.attempted == 100 && again.stored == 100, "finish() says the same");
  const auto late = run.flush(Durability::kStored).wait(1s);
  expect(!late && late.error().code == Code::kDisabled, "no request after the end");
}

// The service has answered, and has had the time to be done with this process altogether, before
// the program comes to its end.
void finish_much_later(Run& run) {
  log_rows(run, 100);
  take(run.deliver_finish(0), "deliver_finish");
  tell_test("answered");
  wait_for_test();
  const auto begin = std::chrono::steady_clock::now();
  const ringlog::FinishReport report = run.finish();
  expect(report.attempted == 100 && report.stored == 100, "finish() says the same");
  expect(std::chrono::steady_clock::now() - begin < 10s, "and has nobody to wait for");
}

// The same, of a handle that nobody waited for.
void finish_unasked(Run& run) {
  log_rows(run, 100);
  [[maybe_unused]] const auto handle = run.deliver_finish(0);
  tell_test("asked");
  wait_for_test();
  const ringlog::FinishReport report = run.finish();
  expect(report.attempted == 100 && report.stored == 100, "finish() says the same");
  const auto saved = run.save("/proc/self/status", {.policy = ringlog::SavePolicy::kEnd});
  expect(!saved && saved.error().code == Code::kDisabled, "nothing is saved after the end");
}

// A handle keeps what it needs alive, whoever went first.
void handle_outlives_run() {
  auto handle = [] {
    Run run = ringlog::init();
    log_rows(run, 10);
    return run.deliver_run();
  }();
  const auto info = handle.wait(10s);
  expect(info || info.error().code == Code::kServiceGone || info.error().code == Code::kTimeout ||
             info.error().code == Code::kDisabled || info.error().code == Code::kIo,
         "an answer or an error");
}

}  // namespace

int main(int argc, char** argv) {
  const e2e::Options options(argc, argv);
  const std::string name = options.text("case");
  if (name == "handle_outlives_run") {
    handle_outlives_run();
    return 0;
  }
  Run run = ringlog::init();
  expect(run.ok(), run.error().message);
  if (name == "flush_levels") flush_levels(run);
  if (name == "about_the_run") about_the_run(run);
  if (name == "summaries") summaries(run);
  if (name == "cancelled") cancelled(run);
  if (name == "timeouts") timeouts(run);
  if (name == "service_gone") service_gone(run);
  if (name == "many_threads") many_threads(run);
  if (name == "finish_later") finish_later(run);
  if (name == "finish_much_later") finish_much_later(run);
  if (name == "finish_unasked") finish_unasked(run);
  return 0;
}
