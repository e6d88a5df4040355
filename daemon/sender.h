#pragma once
// Sender: brings what is stored of one run to one sink.
//
// Reads only the store, from a watermark kept in the same store per lane, so that rows which the
// store later merges into larger chunks are not sent twice.  Needs no memory but one batch, however
// long the sink is away.  A failing sink is tried again with exponential backoff and jitter.
//
// Belongs to the network thread, except status(), which is safe from any.  step() blocks for
// reading one batch and for one Sink::send().

#include "daemon/clock.h"
#include "daemon/run_spec.h"
#include "daemon/sink.h"
#include "store/model.h"
#include "store/reader.h"
#include "store/store.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <string>

namespace ringlog::service {

class Sender {
 public:
  // `store` and `clock` must outlive the sender.  `url` without credentials is its name in the
  // store.
  Sender(const std::string& url, std::unique_ptr<Sink> sink, store::Store& store,
         const Clock& clock, uint64_t jitter_seed);

  // Does the next thing: opens the sink, sends a batch, or looks for new rows.  Returns the
  // monotonic time in ms at which to call again; INT64_MAX: not before wake().
  int64_t step();
  // There may be more rows.
  void wake();
  // All that was stored at the last look was sent, or the sink wants nothing any more.
  bool is_idle() const { return is_refused_ || (is_caught_up_ && !is_batch_full_); }
  // Rows of a lane below its cursor were acknowledged.
  const store::Cursors& lanes() const { return state_.lanes; }
  bool is_refused() const { return is_refused_; }
  bool is_failing() const { return failures_ > 0; }

  SinkStatus status() const;

 private:
  bool open();
  bool fill();
  void send();
  bool store_watermark();
  void fail(const std::string& message, int64_t retry_after_ms);
  void refuse(const std::string& message);
  void publish(const std::string& state, const std::string& error);

  // Constant.
  const std::string name_;
  const std::unique_ptr<Sink> sink_;
  store::Store& store_;
  const Clock& clock_;

  // Network thread.
  std::mt19937_64 random_;
  std::unique_ptr<store::RunReader> reader_;
  store::SinkState state_;  // as acknowledged
  store::SinkState next_;   // once the batch is acknowledged
  uint64_t batch_rows_ = 0;
  bool is_open_ = false;
  bool is_batch_full_ = false;    // there is a batch to send
  bool is_acknowledged_ = false;  // it was sent, the watermark is still to be written
  bool is_caught_up_ = false;
  int64_t last_look_ms_ = 0;  // at the store
  bool is_refused_ = false;
  int failures_ = 0;  // in a row
  int64_t next_try_ms_ = 0;

  mutable std::mutex mutex_;
  SinkStatus status_;  // guarded by mutex_
};

}  // namespace ringlog::service
