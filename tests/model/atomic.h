#pragma once
// Puts the explorer in place of the hardware: code that is included after this header and before
// `#undef`s of the same names (production.h) uses the class below as its std::atomic.
//
// All standard headers which that code needs must come before, so that none of them sees the
// macros.

#include <atomic>
#include <cstdint>
#include <type_traits>

#include "explorer.h"

// The production code says std::atomic, so the stand-in must be found there.  NOLINTBEGIN
namespace std {

template <typename T>
class ringlog_model_atomic {
 public:
  static_assert(std::is_integral_v<T> && sizeof(T) <= 8);
  static constexpr bool is_always_lock_free = true;

  constexpr ringlog_model_atomic() = default;
  constexpr ringlog_model_atomic(T value) : value_(value) {}
  ringlog_model_atomic(const ringlog_model_atomic&) = delete;
  ringlog_model_atomic& operator=(const ringlog_model_atomic&) = delete;

  T load(memory_order order = memory_order_seq_cst) const {
    return result(operation(ringlog::model::Kind::kLoad, order)).value;
  }
  void store(T value, memory_order order = memory_order_seq_cst) {
    result(operation(ringlog::model::Kind::kStore, order, value));
  }
  T fetch_add(T value, memory_order order = memory_order_seq_cst) {
    return result(operation(ringlog::model::Kind::kAdd, order, value)).value;
  }
  bool compare_exchange_strong(T& expected, T desired, memory_order success, memory_order failure) {
    auto what = operation(ringlog::model::Kind::kCompareExchange, success, desired);
    what.failure = failure;
    what.expected = bits(expected);
    const auto [value, flag] = result(what);
    if (!flag) expected = value;
    return flag;
  }
  // Never fails for no reason: that would only repeat what a retry does anyway.
  bool compare_exchange_weak(T& expected, T desired, memory_order success, memory_order failure) {
    return compare_exchange_strong(expected, desired, success, failure);
  }

 private:
  struct Result {
    T value;
    bool flag;
  };
  static uint64_t bits(T value) {
    return static_cast<uint64_t>(static_cast<std::make_unsigned_t<T>>(value));
  }
  ringlog::model::Operation operation(ringlog::model::Kind kind, memory_order order,
                                      T value = {}) const {
    ringlog::model::Operation what;
    what.kind = kind;
    what.address = this;
    what.size = sizeof(T);
    what.order = order;
    what.value = bits(value);
    return what;
  }
  static Result result(const ringlog::model::Operation& what) {
    const ringlog::model::Outcome outcome = ringlog::model::perform(what);
    return {static_cast<T>(outcome.value), outcome.flag};
  }

  T value_;
};

inline void ringlog_model_atomic_thread_fence(memory_order) { ringlog::model::perform({}); }

}  // namespace std
// NOLINTEND
