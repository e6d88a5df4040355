#include "daemon/sender.h"

#include "daemon/backoff.h"
#include "daemon/limits.h"
#include "daemon/log.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

namespace ringlog::service {

namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

}  // namespace

Sender::Sender(const std::string& url, std::unique_ptr<Sink> sink, store::Store& store,
               const Clock& clock, uint64_t jitter_seed)
    : name_(without_credentials(url)),
      sink_(std::move(sink)),
      limits_(sink_->limits()),
      store_(store),
      clock_(clock),
      random_(jitter_seed),
      rows_max_(limits_.rows) {
  publish("starting", "");
}

int64_t Sender::step() {
  if (is_refused_) return kNever;
  if (!is_sending_ && (clock_.monotonic_ms() < due_ms() || !prepare())) return due_ms();
  send();
  return due_ms();
}

void Sender::wake() {
  if (!std::exchange(is_woken_, true)) woken_ns_ = clock_.realtime_ns();
  if (oldest_ns_.load(std::memory_order_relaxed) == 0) {
    oldest_ns_.store(clock_.realtime_ns(), std::memory_order_relaxed);
  }
}

void Sender::look_anew() {
  wake();
  const std::lock_guard lock(mutex_);
  status_.looks_wanted = looks_ + 1;
}

std::optional<int64_t> Sender::stuck_until_ms() const {
  const bool is_waiting = failures_ > 0 && !is_sending_ && !is_acknowledged_;
  if (!is_waiting || next_try_ms_ <= clock_.monotonic_ms()) return {};
  return next_try_ms_;
}

void Sender::recall(const Memory& memory) {
  rows_max_ = std::min(limits_.rows, memory.rows_max);
  is_refused_ = memory.is_refused;
  const std::lock_guard lock(mutex_);
  status_ = memory.status;
  status_.looks_wanted = status_.looks_sent = 0;
}

int64_t Sender::due_ms() const {
  if (is_refused_ || is_sending_) return kNever;
  if (is_batch_full_ || phase_ != Phase::kLook) return next_try_ms_;
  if (is_woken_) {
    return std::max(next_try_ms_, looked_ms_ ? *looked_ms_ + limits_.interval_ms : 0);
  }
  return facts_due_ms_ != 0 ? std::max(next_try_ms_, facts_due_ms_) : kNever;
}

// True: there is a batch to send.
bool Sender::prepare() {
  if (is_acknowledged_) {
    store_watermark();
    return false;
  }
  return (is_open_ || open()) && (phase_ != Phase::kLook || look()) && fill();
}

bool Sender::open() {
  auto state = store_.sink_state(name_);
  auto meta = store_.meta();
  if (!state || !meta) {
    fail(state ? meta.error().message : state.error().message, 0);
    return false;
  }
  if (!*meta) {  // nothing was stored yet, not even what the run is
    is_woken_ = false;
    ++looks_;
    complete_look();
    return false;
  }
  if (const Status opened = sink_->open(**meta, state->cursor); !opened) {
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

// Takes a new view of the store.  False: it cannot be read now.
bool Sender::look() {
  is_woken_ = false;
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
  looked_ms_ = clock_.monotonic_ms();
  looked_ns_ = clock_.realtime_ns();
  ++looks_;
  phase_ = Phase::kRows;
  return true;
}

// Everything that the last look found is sent.
void Sender::complete_look() {
  note_all_sent();
  failures_ = 0;
  publish("good", left_out_why_);
}

// What came since the look is younger than it.
void Sender::note_all_sent() {
  looks_sent_ = looks_;
  is_oldest_sent_ = false;
  oldest_ns_.store(is_woken_ ? woken_ns_ : 0, std::memory_order_relaxed);
}

// Collects the next batch from the view.  False: there is none, or the store cannot be read now.
bool Sender::fill() {
  next_ = state_;
  batch_rows_ = 0;
  batch_records_ = 0;
  sink_->clear();
  Status filled = Done{};
  if (limits_.is_collecting) {
    filled = collect();
  } else if (phase_ == Phase::kRows) {
    filled = fill_rows();
  }
  if (filled && phase_ == Phase::kFacts && !is_batch_full_) filled = fill_facts();
  if (!filled) {
    fail(filled.error().message, 0);
    return false;
  }
  if (!is_batch_full_ && phase_ == Phase::kLook && !is_behind_) complete_look();
  return is_batch_full_;
}

Status Sender::fill_rows() {
  store::RowFilter filter;
  filter.from = state_.lanes;
  bool is_full = false;
  int64_t oldest_ns = kNever;
  const auto visited = reader_->for_each_row(filter, [&](const store::RowView& row) {
    const size_t bytes = sink_->add(row);
    oldest_ns = std::min(oldest_ns, row.time_ns());
    next_.lanes[{row.producer().producer, row.ring()}] = row.seq() + 1;
    ++batch_rows_;
    is_full = batch_rows_ >= rows_max_ || bytes >= limits_.bytes;
    return !is_full;
  });
  if (!visited) return Error(visited.error());
  if (batch_rows_ > 0) oldest_ns_.store(std::max<int64_t>(oldest_ns, 1), std::memory_order_relaxed);
  if (!is_full && !limits_.is_rows_only) {
    if (Status filled = fill_records(); !filled) return filled;
  } else if (!is_full) {
    phase_ = Phase::kFacts;
  }
  is_batch_full_ = batch_rows_ + batch_records_ > 0;
  return Done{};
}

Status Sender::fill_records() {
  auto producers = reader_->producers();
  if (!producers) return producers.take_error();
  std::map<uint32_t, store::ProducerState> by_id;
  for (store::ProducerState& producer : *producers) {
    by_id.emplace(producer.producer, std::move(producer));
  }
  bool is_full = false;
  Status visited =
      reader_->for_each_record({}, state_.record_lsn, [&](const store::RecordView& record) {
        const size_t bytes = sink_->add(record, by_id[record.producer]);
        next_.record_lsn = record.lsn + 1;
        ++batch_records_;
        is_full = batch_rows_ + batch_records_ >= rows_max_ || bytes >= limits_.bytes;
        return !is_full;
      });
  if (!is_full) phase_ = Phase::kFacts;
  return visited;
}

Status Sender::collect() {
  auto found = sink_->collect(*reader_, next_, rows_max_, clock_);
  if (!found) return found.take_error();
  batch_rows_ = found->rows;
  batch_records_ = found->records;
  facts_due_ms_ = found->due_ms;
  is_behind_ = found->is_behind;
  // What it holds back now came since the look before at most.
  if (!found->is_batch && is_behind_ && std::exchange(is_oldest_sent_, false)) {
    oldest_ns_.store(looked_ns_, std::memory_order_relaxed);
  }
  // Behind a batch there may be another one.
  phase_ = found->is_batch ? Phase::kRows : Phase::kLook;
  if (Status noted = note(); !noted) return noted;
  is_batch_full_ = found->is_batch;
  return Done{};
}

Status Sender::note() {
  if (!is_open_ || is_acknowledged_) return Done{};
  store::SinkState noted = state_;
  noted.cursor = sink_->cursor();
  if (noted == state_) return Done{};
  if (Status put = store_.put_sink_state(name_, noted); !put) return put;
  state_ = std::move(noted);
  return Done{};
}

// The view's last batch: facts, when they changed, at once if somebody came or went.
Status Sender::fill_facts() {
  phase_ = Phase::kLook;
  if (limits_.is_rows_only) return Done{};
  auto meta = reader_->meta();
  if (!meta) return meta.take_error();
  auto producers = reader_->producers();
  if (!producers) return producers.take_error();
  std::string facts = store::to_bytes(*meta);
  for (const store::ProducerState& producer : *producers) {
    facts += std::to_string(producer.producer) + " " + producer.state + "\n";
  }
  if (facts == facts_) {
    facts_due_ms_ = is_sent_since_facts_ ? facts_sent_ms_ + kSinkFactsMs : 0;
    if (facts_due_ms_ == 0 || clock_.monotonic_ms() < facts_due_ms_) return Done{};
  }
  if (Status added = sink_->add_facts(*reader_); !added) return added;
  facts_ = std::move(facts);
  facts_sent_ms_ = clock_.monotonic_ms();
  facts_due_ms_ = 0;
  is_sent_since_facts_ = false;
  is_batch_full_ = true;
  return Done{};
}

void Sender::send() {
  const std::optional<SendResult> result = sink_->send();
  is_sending_ = !result;
  if (is_sending_) return;
  switch (result->kind) {
    case SendResult::Kind::kAcknowledged:
      left_out_in_a_row_ = 0;
      rows_max_ = std::min(limits_.rows, rows_max_ * 2);
      count_left_out(std::min(batch_rows_, sink_->left_out()), "the store's bytes are no value");
      is_acknowledged_ = true;
      store_watermark();
      return;
    case SendResult::Kind::kRetry:
      if (result->is_slow) {
        rows_max_ = std::max<size_t>(1, (batch_rows_ + batch_records_) / 2);
      }
      return fail(result->message, result->retry_after_ms);
    case SendResult::Kind::kSplit:
      return split(*result);
    case SendResult::Kind::kRefused:
      return refuse(result->message);
  }
}

// The watermark is written before anything else is sent, or a restart would send the batch again.
bool Sender::store_watermark() {
  next_.rows = state_.rows + batch_rows_;
  next_.cursor = sink_->cursor();
  if (next_ != state_) {
    if (const Status put = store_.put_sink_state(name_, next_); !put) {
      back_off(put.error().message, 0);
      return false;
    }
  }
  is_sent_since_facts_ |= batch_rows_ + batch_records_ > 0;
  is_oldest_sent_ |= batch_rows_ > 0;
  state_ = next_;
  sink_->clear();
  is_acknowledged_ = false;
  is_batch_full_ = false;
  failures_ = 0;
  next_try_ms_ = 0;
  // The facts are the last batch of a look.
  if (phase_ == Phase::kLook) note_all_sent();
  publish("good", left_out_why_);
  return true;
}

// Sends less at a time; of one row alone it is known that nobody takes it.
void Sender::split(const SendResult& result) {
  const uint64_t count = batch_rows_ + batch_records_;
  if (count == 0) return fail(result.message, result.retry_after_ms);
  if (count > 1) {
    rows_max_ = std::max<size_t>(1, count / 2);
    forget_batch();
    return publish("retrying", result.message);
  }
  if (++left_out_in_a_row_ > kSinkLeftOutMax) {
    return refuse(result.message + "; it takes no row at all");
  }
  count_left_out(1, result.message);
  is_acknowledged_ = true;
  store_watermark();
}

// Of the batch.
void Sender::count_left_out(uint64_t rows, const std::string& why) {
  if (rows == 0) return;
  next_.left_out += rows;
  batch_rows_ -= std::min(batch_rows_, rows);
  left_out_why_ = std::to_string(next_.left_out) + " left out, the last because " + why;
  log().warn("sink {}: {}", name_, left_out_why_);
}

// What it held is read from the store again, so that a sink which is away costs no memory.
void Sender::forget_batch() {
  sink_->clear();
  is_batch_full_ = false;
  phase_ = Phase::kLook;
  is_woken_ = true;
  looked_ms_.reset();
  facts_.clear();
}

void Sender::fail(const std::string& message, int64_t retry_after_ms) {
  forget_batch();
  back_off(message, retry_after_ms);
}

void Sender::back_off(const std::string& message, int64_t retry_after_ms) {
  const int64_t wait_ms = backoff_ms(++failures_, random_);
  next_try_ms_ = clock_.monotonic_ms() + std::max(wait_ms, retry_after_ms);
  publish("retrying", message);
}

void Sender::refuse(const std::string& message) {
  is_refused_ = true;
  is_batch_full_ = false;
  sink_->clear();
  reader_.reset();
  log().error("sink {} gets nothing any more: {}", name_, message);
  publish("refused", message);
}

void Sender::publish(const std::string& state, const std::string& error) {
  const std::lock_guard lock(mutex_);
  status_.url = name_;
  status_.state = state;
  status_.sent_rows = state_.rows;
  status_.left_out_rows = state_.left_out;
  status_.last_error = error;
  status_.looks_sent = looks_sent_;
}

SinkStatus Sender::status() const {
  const int64_t oldest_ns = oldest_ns_.load(std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  SinkStatus status = status_;
  if (oldest_ns != 0) {
    const int64_t age_ns = std::max<int64_t>(clock_.realtime_ns() - oldest_ns, 0);
    status.lag_ms = static_cast<uint64_t>(age_ns) / 1'000'000;
  }
  return status;
}

}  // namespace ringlog::service
