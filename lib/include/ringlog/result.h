#pragma once
// Error model: what can go wrong, and how a function says so.  See docs/errors.md.
//
// Values only; safe to use from any thread.

#include <cassert>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>

namespace ringlog {

// What went wrong, for callers that branch on it.  Numbers are stable: they appear in the C
// interface and in Python.
enum class Code : int {
  kOk = 0,
  kInvalidArgument = 1,  // the caller's mistake; retrying cannot help
  kTooLarge = 2,         // a value above a limit of limits.h
  kBackpressure = 3,     // a ring or the mailbox is full; retry, wait or drop
  kTimeout = 4,          // the deadline passed first
  kServiceGone = 5,      // the service died or cannot be reached
  kCorrupt = 6,          // data in shared memory or in the store failed validation
  kIo = 7,               // the operating system said no; the message carries errno
  kPermission = 8,       // owner or mode of a file or peer is wrong
  kNotFound = 9,         // no such run, metric or file
  kVersion = 10,         // the other side speaks another version
  kDisabled = 11,        // the run is disabled; see Run::error()
};

// An operating error: expected, and always handled.
struct Error {
  Code code = Code::kOk;
  std::string message;  // outermost first: "init: segment /x/y: fallocate: No space left on device"

  // The same error seen from one level further out.
  Error in(const std::string& where) && { return {code, where + ": " + std::move(message)}; }
};

// A T or the Error that prevented it; shaped like std::expected.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  explicit operator bool() const noexcept { return state_.index() == 0; }
  T& operator*() & { return value(); }
  const T& operator*() const& { return const_cast<Result*>(this)->value(); }
  T&& operator*() && { return std::move(value()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &const_cast<Result*>(this)->value(); }
  const Error& error() const {
    assert(state_.index() == 1);
    return *std::get_if<1>(&state_);
  }
  Error take_error() { return std::move(*std::get_if<1>(&state_)); }

 private:
  T& value() {
    assert(state_.index() == 0);
    return *std::get_if<0>(&state_);
  }
  std::variant<T, Error> state_;
};

struct Done {};  // the T of a Result that carries nothing
using Status = Result<Done>;

}  // namespace ringlog
