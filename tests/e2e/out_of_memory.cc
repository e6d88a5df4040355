// A program without memory: each call of the library is made again and again, and the first, the
// second, … allocation in it fails, until it needs no more.  Training must not stop for it, and
// every row is counted.  Writes what the run reported at its end as one JSON object.
//
// Only operator new fails; what the C library allocates for itself does not.

#include <ringlog/ringlog.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <vector>

namespace {

// Of this thread: the allocation that fails, counted down; 0: none will, or it has failed.
thread_local int64_t t_fails_in = 0;

void* allocate(size_t size) {
  if (t_fails_in > 0 && --t_fails_in == 0) return nullptr;
  return std::malloc(size == 0 ? 1 : size);
}

void* allocate_or_throw(size_t size) {
  void* const at = allocate(size);
  if (at == nullptr) throw std::bad_alloc();
  return at;
}

}  // namespace

void* operator new(size_t size) { return allocate_or_throw(size); }
void* operator new[](size_t size) { return allocate_or_throw(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void operator delete(void* at) noexcept { std::free(at); }
void operator delete[](void* at) noexcept { std::free(at); }
void operator delete(void* at, size_t) noexcept { std::free(at); }
void operator delete[](void* at, size_t) noexcept { std::free(at); }

namespace {

// Larger than a ring's largest record, so that it goes over the control socket.
constexpr size_t kLargeText = 100'000;
constexpr int64_t kAllocationsMax = 2'000;

struct Calls {
  uint64_t rows = 0;
  uint64_t failures = 0;
};

// `call` is told how often it was called before; is_row: each is one row, whatever becomes of it.
void starve(Calls& calls, bool is_row, const std::function<void(int64_t)>& call) {
  for (int64_t n = 1; n <= kAllocationsMax; ++n) {
    t_fails_in = n;
    call(n);
    const bool has_failed = t_fails_in == 0;
    t_fails_in = 0;
    calls.rows += is_row;
    if (!has_failed) return;
    ++calls.failures;
  }
  std::fprintf(stderr, "a call that allocates without end\n");
  std::exit(1);
}

// Made before memory runs out.
std::vector<std::string> make_keys() {
  std::vector<std::string> keys;
  for (int64_t n = 0; n <= kAllocationsMax; ++n) {
    keys.push_back("a key that fits into no string by itself " + std::to_string(n));
  }
  return keys;
}

void starve_rows(ringlog::Run& run, Calls& calls) {
  const std::vector<std::string> keys = make_keys();
  const std::string text(40, 'x');
  const std::string large(kLargeText, 'x');
  // First calls of keys that are new each time; the same keys again need nothing.
  starve(calls, true, [&](int64_t n) { run.log({{keys[static_cast<size_t>(n)], 1.0}, {"b", n}}); });
  starve(calls, true, [&](int64_t) { run.log({{"text", text}, {"n", 1.0}}); });
  starve(calls, true, [&](int64_t) { run.log({{"large", large}}); });
  std::vector<ringlog::Row> rows;
  for (int64_t n = 0; n <= 100; ++n) rows.push_back(run.row({"p", "q"}));
  starve(calls, true, [&](int64_t n) { rows.at(static_cast<size_t>(n)).log(0, 1.0, 2.0); });
  // Wrong ones need memory to say so.
  const double one = 1.0;
  starve(calls, true, [&](int64_t) { run.log({{"", one}}); });
}

void starve_the_rest(ringlog::Run& run, Calls& calls) {
  const std::string text(40, 'x');
  starve(calls, false, [&](int64_t) { run.config({{"lr", 0.1}, {"text", text}}); });
  starve(calls, false, [&](int64_t) { run.summary({{"best", 0.1}}); });
  const ringlog::MetricOptions wrong{.summary = {"min", "nonsense"}};
  starve(calls, false, [&](int64_t) { run.define_metric("loss", wrong); });
  starve(calls, false, [&](int64_t) { run.alert("title", text); });
  starve(calls, false, [&](int64_t) { run.console(text, false); });
  starve(calls, false, [&](int64_t) {
    try {
      const auto stored = run.flush(ringlog::Durability::kStored).wait(std::chrono::seconds(30));
      static_cast<void>(stored);
    } catch (const std::bad_alloc&) {
      // What gives an answer back may say that there is none.
    }
  });
}

}  // namespace

int main() {
  ringlog::Run run = ringlog::init();
  Calls calls;
  starve_rows(run, calls);
  starve_the_rest(run, calls);
  run.log({{"last", 1.0}});
  ++calls.rows;
  const ringlog::FinishReport report = run.finish();
  std::printf("{\"rows\":%zu,\"failures\":%zu,\"attempted\":%zu,\"stored\":%zu,\"dropped\":%zu}\n",
              size_t{calls.rows}, size_t{calls.failures}, size_t{report.attempted},
              size_t{report.stored}, size_t{report.dropped});
  return 0;
}
