// DESIGN 1.1: log() in steady state allocates nothing.  This program's malloc() counts what the
// thread that logs asks it for, operator new of the standard library included, which calls it.

#include <ringlog/ringlog.h>

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "service_place.h"
#include "watchdog.h"

namespace ringlog {
namespace {

// Allocations of this thread while it counts; in static thread storage, which is never allocated.
thread_local bool t_is_counting = false;
thread_local uint64_t t_allocations = 0;
thread_local uint64_t t_frees = 0;

[[maybe_unused]] void count_allocation() {
  if (t_is_counting) ++t_allocations;
}
[[maybe_unused]] void count_free() {
  if (t_is_counting) ++t_frees;
}

}  // namespace
}  // namespace ringlog

// A sanitizer has a malloc of its own, which the program must not replace.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" {
void* __libc_malloc(size_t size);                      // NOLINT: the C library's own, behind malloc
void* __libc_calloc(size_t count, size_t size);        // NOLINT
void* __libc_realloc(void* from, size_t size);         // NOLINT
void* __libc_memalign(size_t alignment, size_t size);  // NOLINT
void __libc_free(void* at);                            // NOLINT

void* malloc(size_t size) noexcept {
  ringlog::count_allocation();
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) noexcept {
  ringlog::count_allocation();
  return __libc_calloc(count, size);
}
void* realloc(void* from, size_t size) noexcept {
  ringlog::count_allocation();
  return __libc_realloc(from, size);
}
void free(void* at) noexcept {
  ringlog::count_free();
  __libc_free(at);
}
void* memalign(size_t alignment, size_t size) noexcept {
  ringlog::count_allocation();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) noexcept {
  ringlog::count_allocation();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** to, size_t alignment, size_t size) noexcept {
  ringlog::count_allocation();
  *to = __libc_memalign(alignment, size);
  return *to == nullptr ? ENOMEM : 0;
}
}
#endif

namespace ringlog {
namespace {

constexpr uint64_t kRows = 100'000;
constexpr uint64_t kRowsBefore = 100;

template <typename Body>
uint64_t allocations_of(const Body& body) {
  t_allocations = 0;
  t_frees = 0;
  t_is_counting = true;
  body();
  t_is_counting = false;
  return t_allocations;
}

// After the rows with which a thread finds its ring and registers its keys.
template <typename Log>
uint64_t allocations_of_rows(const Log& log) {
  for (uint64_t i = 0; i < kRowsBefore; ++i) log(i);
  return allocations_of([&] {
    for (uint64_t i = 0; i < kRows; ++i) log(kRowsBefore + i);
  });
}

class Allocations : public ::testing::Test {
 protected:
  void SetUp() override {
    if (test::kIsSanitized) GTEST_SKIP() << "the sanitizer has a malloc of its own";
    ASSERT_TRUE(run_.ok()) << run_.error().message;
  }
  void TearDown() override { EXPECT_EQ(run_.finish().dropped, 0u); }

  const test::Watchdog watchdog_;
  test::ServicePlace place_;
  // A machine that is busy with other things may keep the service from making room.
  ringlog::Run run_ = init({.project = "allocations", .full_ring_wait_ms = 60'000});
};

TEST_F(Allocations, AreCountedWhoeverAsks) {
  EXPECT_EQ(allocations_of([] { EXPECT_NE(std::string(100, 'x').size(), 0u); }), 1u);
  std::vector<std::byte*> kept;
  kept.reserve(3);
  EXPECT_EQ(allocations_of([&] {
              kept.push_back(static_cast<std::byte*>(std::malloc(8)));
              kept.push_back(static_cast<std::byte*>(std::calloc(1, 8)));
              kept.push_back(static_cast<std::byte*>(std::realloc(nullptr, 8)));
            }),
            3u);
  for (std::byte* const each : kept) std::free(each);
  // The first row of new keys has to remember them.
  EXPECT_GT(allocations_of([&] { run_.log({{"first", 1.5}}); }), 0u);
}

TEST_F(Allocations, OfPreparedRowsThereAreNone) {
  Row one = run_.row({"a"});
  EXPECT_EQ(allocations_of_rows([&](uint64_t i) { one.log(i, 0.5); }), 0u);
  Row four = run_.row({"a", "b", "c", "d"});
  EXPECT_EQ(allocations_of_rows([&](uint64_t i) { four.log(i, 0.5, true, 7, 1.25f); }), 0u);
  std::vector<std::string> names;
  for (int i = 0; i < 16; ++i) names.push_back("k" + std::to_string(i));
  const std::vector<std::string_view> keys(names.begin(), names.end());
  Row sixteen = run_.row(keys);
  std::array<double, 16> cells{};
  EXPECT_EQ(allocations_of_rows([&](uint64_t i) {
              cells.fill(static_cast<double>(i));
              sixteen.log_cells(i, cells);
            }),
            0u);
}

TEST_F(Allocations, OfNamedValuesThereAreNone) {
  EXPECT_EQ(allocations_of_rows([&](uint64_t) { run_.log({{"loss", 0.5}}); }), 0u);
  EXPECT_EQ(
      allocations_of_rows([&](uint64_t i) {
        run_.log({{"loss", 0.5}, {"epoch", 3}, {"is_best", i % 2 == 0}, {"seen", i}}, {.step = i});
      }),
      0u);
  const std::vector<std::string> names{"a", "b", "c", "d", "e", "f", "g", "h",
                                       "i", "j", "k", "l", "m", "n", "o", "p"};
  std::vector<Item> items;
  for (const std::string& name : names) {
    const std::array<Value, 3> values{1.5, 7, true};
    items.push_back({name, values[items.size() % values.size()]});
  }
  EXPECT_EQ(allocations_of_rows([&](uint64_t) { run_.log(items); }), 0u);
}

// A signal handler that logs may have interrupted malloc() itself, so what log() does about a
// service that is gone must need none either.
TEST_F(Allocations, WhileTheServiceIsGoneThereAreNone) {
  uint64_t step = 0;
  run_.log({{"loss", 0.5}});
  ASSERT_TRUE(run_.flush(Durability::kStored).wait(std::chrono::seconds(60)));
  place_.kill_service();
  const uint64_t stored = run_.sync_status().stored;
  // Until log() has started another one, which has stored what came since.
  while (run_.sync_status().stored == stored) {
    ASSERT_EQ(allocations_of([&] { run_.log({{"loss", 0.5}}, {.step = ++step}); }), 0u);
    ASSERT_EQ(t_frees, 0u);
  }
}

TEST_F(Allocations, OfSeveralThreadsThereAreNone) {
  constexpr size_t kThreads = 4;
  Row row = run_.row({"a", "b", "c", "d"});
  std::array<uint64_t, kThreads> allocations{};
  std::vector<std::jthread> threads;
  for (uint64_t& mine : allocations) {
    threads.emplace_back([&] {
      mine = allocations_of_rows([&](uint64_t i) {
        row.log(i, 0.5, 1.5, 2.5, 3.5);
        run_.log({{"loss", 0.5}, {"epoch", 3}, {"is_best", i % 2 == 0}, {"seen", i}});
      });
    });
  }
  threads.clear();
  EXPECT_EQ(allocations, (std::array<uint64_t, kThreads>{}));
}

}  // namespace
}  // namespace ringlog
