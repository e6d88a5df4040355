#include "daemon/sender.h"

#include "daemon/limits.h"

#include <algorithm>
#include <limits>

namespace ringlog::service {

namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

}  // namespace

Sender::Sender(const std::string& url, std::unique_ptr<Sink> sink, store::Store& store,
               const Clock& clock, uint64_t jitter_seed)
    : name_(without_credentials(url)),
      sink_(std::move(sink)),
      store_(store),
      clock_(clock),
      random_(jitter_seed) {
  publish("starting", "");
}

void Sender::wake() {
  if (!is_caught_up_) return;
  is_caught_up_ = false;
  next_try_ms_ = std::max(next_try_ms_, last_look_ms_ + kSinkIntervalMs);
}

int64_t Sender::step() {
  if (is_refused_) return kNever;
  if (clock_.monotonic_ms() < next_try_ms_) return next_try_ms_;
  if (!is_open_ && !open()) return is_refused_ ? kNever : next_try_ms_;
  if (is_acknowledged_) {
    if (!store_watermark()) return next_try_ms_;
  } else if (!is_batch_full_) {
    if (is_caught_up_) return kNever;
    if (!fill()) return next_try_ms_;
  }
  if (is_batch_full_) send();
  if (is_refused_ || (is_caught_up_ && !is_batch_full_)) return kNever;
  return next_try_ms_;
}

bool Sender::open() {
  auto state = store_.sink_state(name_);
  if (!state) {
    fail(state.error().message, 0);
    return false;
  }
  if (const Status opened = sink_->open(state->cursor); !opened) {
    if (opened.error().code == Code::kIo) {
      fail(opened.error().message, 0);
    } else {
      refuse(opened.error().message);
    }
    return false;
  }
  state_ = std::move(*state);
  // Where it begins is written down before the first batch, so that a batch which is sent but not
  // acknowledged in the store can be told from what was there before.
  if (state_.cursor != sink_->cursor()) {
    state_.cursor = sink_->cursor();
    if (const Status put = store_.put_sink_state(name_, state_); !put) {
      fail(put.error().message, 0);
      return false;
    }
  }
  is_open_ = true;
  return true;
}

// Collects the next batch from the store.  False: the store cannot be read now.
bool Sender::fill() {
  Status looked = Done{};
  if (reader_) {
    looked = reader_->refresh();
  } else if (auto opened = store::RunReader::open(store_.dir())) {
    reader_ = std::move(*opened);
  } else {
    looked = opened.take_error();
  }
  if (!looked) {
    fail(looked.error().message, 0);
    return false;
  }
  last_look_ms_ = clock_.monotonic_ms();
  next_ = state_;
  batch_rows_ = 0;
  sink_->clear();
  store::RowFilter filter;
  filter.from = state_.lanes;
  bool is_full = false;
  const auto visited = reader_->for_each_row(filter, [&](const store::RowView& row) {
    const size_t bytes = sink_->add(row);
    next_.lanes[{row.producer().producer, row.ring()}] = row.seq() + 1;
    ++batch_rows_;
    is_full = batch_rows_ >= kSinkBatchRows || bytes >= kSinkBatchBytes;
    return !is_full;
  });
  if (!visited) {
    fail(visited.error().message, 0);
    return false;
  }
  is_caught_up_ = !is_full;
  is_batch_full_ = batch_rows_ > 0;
  if (!is_batch_full_) publish("good", "");
  return true;
}

void Sender::send() {
  const SendResult result = sink_->send();
  switch (result.kind) {
    case SendResult::Kind::kAcknowledged:
      is_acknowledged_ = true;
      store_watermark();
      return;
    case SendResult::Kind::kRetry:
      return fail(result.message, result.retry_after_ms);
    case SendResult::Kind::kRefused:
      return refuse(result.message);
  }
}

// The watermark is written before anything else is sent, or a restart would send the batch again.
bool Sender::store_watermark() {
  next_.rows = state_.rows + batch_rows_;
  next_.cursor = sink_->cursor();
  if (const Status put = store_.put_sink_state(name_, next_); !put) {
    fail(put.error().message, 0);
    return false;
  }
  state_ = next_;
  sink_->clear();
  is_acknowledged_ = false;
  is_batch_full_ = false;
  failures_ = 0;
  next_try_ms_ = 0;
  publish("good", "");
  return true;
}

void Sender::fail(const std::string& message, int64_t retry_after_ms) {
  constexpr int kDoublingsMax = 10;
  const int doublings = std::min(failures_++, kDoublingsMax);
  const int64_t base = std::min(kSinkRetryFirstMs << doublings, kSinkRetryMaxMs);
  // Half to one and a half times, so that many senders do not come back at the same moment.
  const int64_t jittered = base / 2 + static_cast<int64_t>(random_() % static_cast<uint64_t>(base));
  next_try_ms_ = clock_.monotonic_ms() + std::max(jittered, retry_after_ms);
  publish("retrying", message);
}

void Sender::refuse(const std::string& message) {
  is_refused_ = true;
  is_batch_full_ = false;
  sink_->clear();
  publish("refused", message);
}

void Sender::publish(const std::string& state, const std::string& error) {
  const std::lock_guard lock(mutex_);
  status_.url = name_;
  status_.state = state;
  status_.sent_rows = state_.rows;
  status_.lag_rows = is_batch_full_ ? batch_rows_ : 0;
  status_.last_error = error;
}

SinkStatus Sender::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

}  // namespace ringlog::service
