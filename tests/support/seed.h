#pragma once
// Random tests that can be repeated: the seed is fixed unless SEED= names another one, and stands
// in the output of a test that fails.
//
//   const uint64_t seed = test::seed();
//   SCOPED_TRACE(test::seed_text(seed));
//   test::Random random(seed);

#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <iterator>
#include <random>
#include <string>

namespace ringlog::test {

inline uint64_t seed() {
  const char* const text = std::getenv("SEED");
  return text == nullptr ? 20260823 : std::strtoull(text, nullptr, 10);
}

inline std::string seed_text(uint64_t seed) { return "repeat with SEED=" + std::to_string(seed); }

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  uint64_t bits() { return engine_(); }
  // From 0 to `count` - 1.
  uint64_t below(uint64_t count) { return engine_() % count; }
  // From `low` to `high`, both included.
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  bool one_in(uint64_t count) { return below(count) == 0; }
  template <typename T>
  T pick(std::initializer_list<T> choices) {
    return *std::next(choices.begin(), static_cast<std::ptrdiff_t>(below(choices.size())));
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace ringlog::test
