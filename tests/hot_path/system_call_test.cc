// DESIGN 1.1: log() in steady state makes no system call.  A tracer that the kernel stops at every
// system call of the thread that logs sees none in 100,000 rows between two marks of the ring; at a
// mark a thread may have to wake the service.  kill_at_every_instruction_test.cc steps through one
// row.

#include <ringlog/ringlog.h>

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <time.h>

#include <cstdint>
#include <string>
#include <vector>

#include "segment_tail.h"
#include "service_place.h"
#include "traced_child.h"
#include "watchdog.h"

namespace ringlog {
namespace {

using test::Progress;
using test::SharedProgress;
using test::TracedChild;

constexpr uint64_t kRows = 100'000;
constexpr uint64_t kRowsBefore = 1000;
// Marks are an eighth of the ring apart: 104,857 rows of four doubles.
constexpr uint64_t kRingBytes = 64 << 20;

// What a child does.
using Body = void (*)(Progress& progress);

template <typename Call>
void call_followed(Progress& progress, const Call& call) {
  progress.let_follow();
  progress.begin();
  for (uint64_t i = 0; i < kRows; ++i) call(kRowsBefore + i);
  progress.end();
}

template <typename Log>
void log_followed(Progress& progress, const Log& log) {
  for (uint64_t i = 0; i < kRowsBefore; ++i) log(i);
  if (test::SegmentTail().bytes_to_next_mark() <= kRows * test::kCellRowBytes) ::_exit(2);
  call_followed(progress, log);
}

Run open_run() {
  Run run = init({.project = "system-calls", .ring_bytes = kRingBytes});
  if (!run.ok()) ::_exit(1);
  return run;
}

void log_prepared_rows(Progress& progress) {
  Run run = open_run();
  Row row = run.row({"a", "b", "c", "d"});
  log_followed(progress, [&](uint64_t i) { row.log(i, 0.5, 1.5, 2.5, 3.5); });
}

void log_named_values(Progress& progress) {
  Run run = open_run();
  log_followed(progress, [&](uint64_t i) {
    run.log({{"loss", 0.5}, {"epoch", 3}, {"is_best", i % 2 == 0}, {"seen", i}});
  });
}

void read_clock(Progress& progress) {
  call_followed(progress, [](uint64_t) {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
  });
}

void ask_for_parent(Progress& progress) {
  progress.let_follow();
  progress.begin();
  ::getppid();
  progress.end();
}

class SystemCalls : public ::testing::Test {
 protected:
  void SetUp() override {
    if (test::kIsSanitized) GTEST_SKIP() << "a sanitizer makes system calls of its own";
    SharedProgress progress;
    TracedChild child([&] { progress->let_follow(); });
    if (!child.wait_until_it_asks()) GTEST_SKIP() << "ptrace is not permitted here";
    if (!calls_of(read_clock).empty()) GTEST_SKIP() << "clock_gettime is a system call here";
  }

  // The numbers of the system calls that a child makes between begin() and end().
  static std::vector<int64_t> calls_of(Body body) {
    SharedProgress progress;
    TracedChild child([&] { body(*progress); });
    EXPECT_TRUE(child.wait_until_it_asks());
    std::vector<int64_t> calls;
    while (!progress->has_ended() && child.run_to_system_call()) {
      const int64_t call = child.system_call();
      if (call >= 0 && progress->has_begun() && !progress->has_ended()) calls.push_back(call);
    }
    EXPECT_TRUE(progress->has_ended());
    return calls;
  }

  // A service that the machine has kept from running for half a second is looked for by a system
  // call; that happens to one of many children, a call per row would happen to all.
  static std::vector<int64_t> fewest_calls_of(Body body) {
    std::vector<int64_t> calls;
    for (int i = 0; i < 5; ++i) {
      calls = calls_of(body);
      if (calls.empty()) break;
    }
    return calls;
  }

 private:
  const test::Watchdog watchdog_;
  const test::ServicePlace place_;
};

TEST_F(SystemCalls, AreSeen) {
  EXPECT_EQ(calls_of(ask_for_parent), std::vector<int64_t>{SYS_getppid});
}

TEST_F(SystemCalls, OfPreparedRowsThereAreNone) {
  EXPECT_EQ(fewest_calls_of(log_prepared_rows), std::vector<int64_t>{});
}

TEST_F(SystemCalls, OfNamedValuesThereAreNone) {
  EXPECT_EQ(fewest_calls_of(log_named_values), std::vector<int64_t>{});
}

}  // namespace
}  // namespace ringlog
