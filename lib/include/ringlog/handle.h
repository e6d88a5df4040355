#pragma once
// Handle: the answer to a request, still on its way.
//
//   auto stored = run.flush(ringlog::Durability::kStored);
//   auto positions = stored.wait(std::chrono::seconds(2));
//
// A request travels through the ring, after everything this thread logged before it, and names a
// slot in shared memory; wait() sleeps on that slot's futex word.  Destroying a handle that was not
// answered cancels the request: its answer is thrown away when it comes.
//
// A handle is move only and is used by one thread at a time.  It keeps the run's segment mapped. In
// a forked child the handles of its parent are of no use: wait() returns kDisabled.

#include <ringlog/export.h>
#include <ringlog/result.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace ringlog {

// Rows of this process, counted from 0, that reached each level of safety.
struct Positions {
  uint64_t stored = 0;
  uint64_t synced = 0;
  uint64_t sent = 0;
};

// The ledger of a process at its end, in rows.
struct FinishReport {
  uint64_t attempted = 0;  // log() calls, dropped ones included
  uint64_t stored = 0;
  uint64_t dropped = 0;  // refused by the full-ring policy, counted
  uint64_t sent = 0;     // acknowledged by every sink; 0 without sinks
  // Of save() with a policy other than kNow: copied by the service, their bytes, and those that
  // could not be, of which `ringlog show` says why.
  uint64_t files = 0;
  uint64_t file_bytes = 0;
  uint64_t files_failed = 0;
};

struct RunInfo {
  std::string run_id;
  std::string name;
  std::string project;
  std::string dir;  // absolute path of the run's directory
};

// What on_progress is told, about every 100 ms of waiting.
struct Progress {
  std::chrono::nanoseconds waited;
  Positions positions;           // of this process, as the service last published them
  uint64_t file_bytes_left = 0;  // of its files, once it finishes
};

namespace detail {

class RINGLOG_API PendingReply {
 public:
  virtual ~PendingReply() = default;
  // The reply's bytes.
  //   kTimeout      not yet; may be called again
  //   kServiceGone  the service died, or restarted after it had taken the request, or is done with
  //                 this process
  //   kDisabled     it is a forked child's, of its parent's request
  virtual Result<std::string> wait(std::chrono::nanoseconds timeout,
                                   const std::function<void(const Progress&)>& on_progress) = 0;
};

template <typename T>
RINGLOG_API Result<T> parse_reply(const std::string& bytes);
template <>
RINGLOG_API Result<Positions> parse_reply(const std::string& bytes);
template <>
RINGLOG_API Result<FinishReport> parse_reply(const std::string& bytes);
template <>
RINGLOG_API Result<RunInfo> parse_reply(const std::string& bytes);
template <>
RINGLOG_API Result<std::string> parse_reply(const std::string& bytes);

}  // namespace detail

template <typename T>
class Handle {
 public:
  // A handle that already failed.
  explicit Handle(Error error) : error_(std::move(error)) {}
  explicit Handle(std::unique_ptr<detail::PendingReply> pending) : pending_(std::move(pending)) {}

  // Sleeps until the answer comes, `timeout` passes or the service is gone, whichever is first.
  // Can be called again after kTimeout.  After an answer or any other error the handle is spent and
  // answers kInvalidArgument.
  Result<T> wait(std::chrono::nanoseconds timeout,
                 const std::function<void(const Progress&)>& on_progress = {}) {
    if (!pending_) {
      return error_.code == Code::kOk ? Error{Code::kInvalidArgument, "handle: already answered"}
                                      : error_;
    }
    Result<std::string> bytes = pending_->wait(timeout, on_progress);
    if (!bytes && bytes.error().code == Code::kTimeout) return bytes.take_error();
    pending_.reset();
    if (!bytes) return bytes.take_error();
    return detail::parse_reply<T>(*bytes);
  }

  // Gives the request up; its answer is dropped.
  void cancel() { pending_.reset(); }

 private:
  std::unique_ptr<detail::PendingReply> pending_;
  Error error_{};
};

}  // namespace ringlog
