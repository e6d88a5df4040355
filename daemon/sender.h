#pragma once
// Sender: brings what is stored of one run to one sink.
//
// Reads only the store, from a watermark kept in the same store per lane, so that rows which the
// store later merges into larger chunks are not sent twice.  Needs no memory but the batch that is
// under way, and none while the sink is away.  A failing sink is tried again with exponential
// backoff and jitter; a batch that is too large or not taken is halved down to the one row that is
// left out, counted and said.
//
// Belongs to the network thread, except status(), which is safe from any.  step() blocks for
// reading one batch, never for the network.

#include "daemon/clock.h"
#include "daemon/run_spec.h"
#include "daemon/sinks/sink.h"
#include "store/model.h"
#include "store/reader.h"
#include "store/store.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>

namespace ringlog::service {

class Sender {
 public:
  // `store` and `clock` must outlive the sender.  `url` without credentials is its name in the
  // store.
  Sender(const std::string& url, std::unique_ptr<Sink> sink, store::Store& store,
         const Clock& clock, uint64_t jitter_seed);

  // Does the next thing: opens the sink, looks for new rows, begins to send a batch or sees what
  // became of it.  Returns the monotonic time in ms at which to call again; INT64_MAX: not before
  // wake() or the sink's ready().
  int64_t step();
  // There may be more rows.
  void wake();
  // The same; status() says as looks_wanted which look that will be.
  void look_anew();
  // All that was stored at the last look was sent, or the sink wants nothing any more.
  bool is_idle() const { return is_refused_ || (is_at_rest() && facts_due_ms_ == 0); }
  // Rows of a lane below its cursor were acknowledged.
  const store::Cursors& lanes() const { return state_.lanes; }
  bool is_refused() const { return is_refused_; }
  bool is_failing() const { return failures_ > 0; }
  // It waits after a failure, and until when (monotonic); nothing: it does not.
  std::optional<int64_t> stuck_until_ms() const;

  // What is worth knowing by the next Sender of a run that is closed meanwhile.
  struct Memory {
    size_t rows_max = 0;  // of a batch that may be taken
    SinkStatus status{};
    bool is_refused = false;
  };
  Memory memory() const { return {rows_max_, status(), is_refused_}; }
  // Before the first step().
  void recall(const Memory& memory);
  // Writes down what the sink knows by itself: nothing that is not known to be there.
  Status note();

  SinkStatus status() const;

 private:
  // What of the present view of the store comes next.
  enum class Phase { kLook, kRows, kFacts };

  bool is_at_rest() const { return phase_ == Phase::kLook && !is_batch_full_ && !is_woken_; }
  int64_t due_ms() const;
  bool prepare();
  bool open();
  bool look();
  bool fill();
  Status fill_rows();
  Status fill_records();
  Status fill_facts();
  Status collect();
  void send();
  bool store_watermark();
  void complete_look();
  void note_all_sent();
  void split(const SendResult& result);
  void count_left_out(uint64_t rows, const std::string& why);
  void forget_batch();
  void fail(const std::string& message, int64_t retry_after_ms);
  void back_off(const std::string& message, int64_t retry_after_ms);
  void refuse(const std::string& message);
  void publish(const std::string& state, const std::string& error);

  // Constant.
  const std::string name_;
  const std::unique_ptr<Sink> sink_;
  const Sink::Limits limits_;
  store::Store& store_;
  const Clock& clock_;

  // Network thread.
  std::mt19937_64 random_;
  std::unique_ptr<store::RunReader> reader_;
  store::SinkState state_;  // as acknowledged
  Phase phase_ = Phase::kLook;
  bool is_open_ = false;
  bool is_woken_ = true;  // there may be something since the last look
  bool is_refused_ = false;
  uint64_t looks_ = 0;                // at the store
  uint64_t looks_sent_ = 0;           // the last of which everything is sent
  std::optional<int64_t> looked_ms_;  // at the store
  int64_t looked_ns_ = 0;             // the same, Unix epoch
  int64_t woken_ns_ = 0;              // the first time since the last look, Unix epoch
  bool is_oldest_sent_ = false;       // of a collecting sink: since oldest_ns_ was set
  int failures_ = 0;                  // in a row
  int64_t next_try_ms_ = 0;
  size_t rows_max_ = 0;  // of the next batch; less than the sink's limit after a split
  int left_out_in_a_row_ = 0;
  std::string left_out_why_;  // of the last row that was left out

  // The batch.
  store::SinkState next_;  // once it is acknowledged
  uint64_t batch_rows_ = 0;
  uint64_t batch_records_ = 0;
  bool is_batch_full_ = false;    // there is one
  bool is_sending_ = false;       // it is under way
  bool is_acknowledged_ = false;  // it was sent, the watermark is still to be written

  // Description, processes, config, summary: sent again when they changed.
  std::string facts_;  // as last sent, in short
  int64_t facts_sent_ms_ = 0;
  int64_t facts_due_ms_ = 0;  // 0: nothing changed; of a collecting sink Collected::due_ms
  bool is_sent_since_facts_ = false;
  bool is_behind_ = false;  // of a collecting sink Collected::is_behind

  // When the oldest row was logged that is stored and not sent, as far as is known; of a collecting
  // sink that is working something off, the one it began with.  0: everything is sent.
  std::atomic<int64_t> oldest_ns_{0};

  mutable std::mutex mutex_;
  SinkStatus status_;  // guarded by mutex_
};

}  // namespace ringlog::service
