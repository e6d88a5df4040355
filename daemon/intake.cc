#include "daemon/intake.h"

#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/recovery.h"
#include "daemon/reply.h"
#include "shm/failpoint.h"
#include "shm/sigbus.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace ringlog::service {

namespace {

// Cursors count attempts.  How many of these were lost is known only of all, so that this is the
// least that was sent, and exact once everything is.
uint64_t least_sent(const Port& port, const store::Cursors::value_type& cursor) {
  const Lane& lane = port.lanes[cursor.first.ring];
  if (cursor.second >= lane.stored_end) return lane.stored;
  const store::RingState& ring = port.state.rings[cursor.first.ring];
  const uint64_t lost = ring.dropped + ring.missing;
  return std::min(cursor.second - std::min(cursor.second, lost), ring.stored);
}

}  // namespace

Intake::Intake(RunInfo info, RunBoard& board, std::vector<store::KeySet> key_sets,
               Handler::FetchBlob fetch_blob, LargeReplies& large, const Clock& clock,
               IntakeEvents events)
    : info_(std::move(info)),
      board_(board),
      large_(large),
      clock_(clock),
      events_(std::move(events)),
      handler_(std::move(key_sets), std::move(fetch_blob)) {
  batch_ = std::make_unique<Batch>();
  batch_->serial = next_serial_++;
}

void Intake::start_batch() {
  if (batch_->started_ms == 0) batch_->started_ms = clock_.monotonic_ms();
}

void Intake::add(std::shared_ptr<Port> port, std::function<void()> stored) {
  for (uint32_t ring = 0; ring < port->lanes.size(); ++ring) {
    if (const auto end = ends_.find({port->producer, static_cast<uint16_t>(ring)});
        end != ends_.end()) {
      port->lanes[ring].stored_end = end->second;
    }
    for (const auto& [kind, key_set] : port->state.rings[ring].key_sets) {
      const Status restored = handler_.restore_kind(port->lanes[ring], kind, key_set);
      if (restored) continue;
      poison(port, ring, port->readers[ring].position(), restored.error());
      break;
    }
  }
  start_batch();
  batch_->is_urgent = true;
  port->is_dirty = true;
  // Of an earlier service, which settled it and died before it let go.
  port->is_settled = port->is_settle_told = port->state.state != "running";
  broken_seen_ = UINT64_MAX;  // it may have broken before we knew it
  joining_.emplace_back(port, std::move(stored));
  ports_.push_back(std::move(port));
}

void Intake::publish_sent(const store::Cursors& sent, uint32_t network_state) {
  for (const auto& port : ports_) {
    uint64_t least = 0;
    for (auto lane = sent.lower_bound({port->producer, 0});
         lane != sent.end() && lane->first.producer == port->producer; ++lane) {
      if (lane->first.ring < port->lanes.size()) least += least_sent(*port, *lane);
    }
    const uint64_t rows = std::max(least, port->sent_rows.load(std::memory_order_relaxed));
    port->sent_rows.store(rows, std::memory_order_relaxed);
    port->segment->service().sent_rows.store(rows, std::memory_order_relaxed);
    port->segment->service().network_state.store(network_state, std::memory_order_relaxed);
  }
}

void Intake::add_stats(store::Stats stats) {
  if (stats.empty() || is_blocked()) return;
  start_batch();
  batch_->bytes += stats.bytes();
  batch_->commit.stats.push_back(std::move(stats));
}

void Intake::touch() {
  start_batch();
  batch_->is_urgent = true;
}

bool Intake::is_blocked() const { return batch_->bytes >= kBatchBytesMax; }

uint64_t Intake::turn(Scratch& scratch) {
  uint64_t drained = 0;
  peak_ = 0;
  look_for_broken();
  for (const auto& port : ports_) {
    for (uint32_t ring = 0; ring < port->readers.size(); ++ring) {
      if (is_at_rest(*port, ring) || is_blocked()) continue;
      if (const uint64_t backlog = port->readers[ring].backlog(); backlog > 0) {
        const auto capacity = static_cast<double>(port->readers[ring].capacity());
        peak_ = std::max(peak_, static_cast<double>(backlog) / capacity);
        drained += drain_ring(port, ring, scratch);
      } else if (port->readers[ring].position() < port->targets[ring]) {
        poison_shrunk(port, ring);
      }
    }
    advance(port);
  }
  advance_barriers();
  return drained;
}

void Intake::set_wake_part(uint64_t part) {
  const bool is_other_part = std::exchange(wake_part_, part) != part;
  for (const auto& port : ports_) {
    if (!std::exchange(port->is_wake_stale, false) && !is_other_part) continue;
    for (uint32_t ring = 0; ring < port->readers.size(); ++ring) {
      shm::RingReader& reader = port->readers[ring];
      if (port->state.rings[ring].poisoned.empty()) {
        reader.wake_ahead(reader.capacity() / part);
      } else {
        reader.wake_never();
      }
    }
  }
}

uint64_t Intake::drain_ring(const std::shared_ptr<Port>& port, uint32_t ring, Scratch& scratch) {
  shm::RingReader& reader = port->readers[ring];
  const uint64_t before = reader.position();
  scratch.views.clear();
  const Status polled = reader.poll(kTurnBytes, scratch.bytes, scratch.views);
  RINGLOG_FAILPOINT("after_poll");
  start_batch();
  port->is_dirty = true;
  port->is_wake_stale = true;
  if (handle_views(port, ring, before, scratch) && !polled) {
    if (polled.error().code == Code::kCorrupt) {
      poison(port, ring, reader.position(), polled.error());
    } else {
      pause(*port, ring, polled.error());
    }
  }
  if (reader.position() - port->stored_positions[ring] >= reader.capacity() / kBatchRingPart) {
    batch_->is_urgent = true;
  }
  return reader.position() - before;
}

// Asks each segment only when there is news: most looks of a service are at rings at rest, and each
// answer is a cache miss.
void Intake::look_for_broken() {
  if (const uint64_t pages = shm::broken_pages(); std::exchange(broken_seen_, pages) == pages) {
    return;
  }
  for (const auto& port : ports_) {
    if (port->segment->is_broken()) poison_broken(port);
  }
}

// Everything in the control pages reads as zeros now.
void Intake::poison_broken(const std::shared_ptr<Port>& port) {
  for (uint32_t ring = 0; ring < port->readers.size(); ++ring) {
    if (!port->state.rings[ring].poisoned.empty()) continue;
    poison(port, ring, port->readers[ring].position(),
           {Code::kCorrupt, "the segment's file was cut short"});
  }
}

// Somebody waits for more than there is now, and would wait for ever.
void Intake::poison_shrunk(const std::shared_ptr<Port>& port, uint32_t ring) {
  const uint64_t position = port->readers[ring].position();
  poison(port, ring, position,
         {Code::kCorrupt, "ring position " + std::to_string(position) +
                              ": the tail went back from " + std::to_string(port->targets[ring])});
}

// Handles the records that were polled from `begin` on.  False: not all of them.
bool Intake::handle_views(const std::shared_ptr<Port>& port, uint32_t ring, uint64_t begin,
                          const Scratch& scratch) {
  uint64_t good = begin;
  for (const shm::RecordView& view : scratch.views) {
    // A small record can stand for a large blob, so the rest may have to wait for the next batch.
    if (is_blocked()) {
      port->readers[ring].rewind(good);
      return false;
    }
    const Status handled = handler_.handle(port->lanes[ring], view, port->notes, *batch_);
    if (!handled && handled.error().code == Code::kIo) {
      port->readers[ring].rewind(good);
      pause(*port, ring, handled.error());
      return false;
    }
    if (!handled && handled.error().code == Code::kCorrupt) {
      poison(port, ring, good, handled.error());
      return false;
    }
    if (!handled && !was_refusal_logged_) {
      was_refusal_logged_ = true;
      log().warn(
          "run {}: producer {} ring {}: a record was refused, later ones are only counted: {}",
          info_.run_id, port->producer, ring, handled.error().message);
    }
    good = view.end_position;
    if (!port->notes.requests.empty()) take_requests(*port);
  }
  return true;
}

void Intake::poison(const std::shared_ptr<Port>& port, uint32_t ring, uint64_t position,
                    const Error& why) {
  store::RingState& state = port->state.rings[ring];
  state.position = position;
  state.poisoned = why.message;
  port->is_poisoned = true;
  port->is_dirty = true;
  port->is_wake_stale = true;
  start_batch();
  port->segment->service().poisoned_rings.fetch_or(1U << ring, std::memory_order_relaxed);
  log().error("run {}: producer {} (pid {}) ring {} is not read any more: {}", info_.run_id,
              port->producer, port->state.pid, ring, why.message);
  port->tell("run " + info_.run_id +
             ": a ring of this process is not read any more, its rows are " +
             "lost: " + why.message);
  events_.poisoned(port, ring, position);
}

// What cannot be read now, a segment's page or a large record in the store, is read later.
void Intake::pause(Port& port, uint32_t ring, const Error& why) {
  if (!std::exchange(was_retry_logged_, true)) {
    log().error("run {}: producer {} ring {} waits, later ones silently: {}", info_.run_id,
                port.producer, ring, why.message);
  }
  RingPause& pause = port.pauses[ring];
  const uint64_t position = port.readers[ring].position();
  const bool is_first = pause.until_ms == 0 || pause.position != position;
  pause.length_ms = is_first ? kRingRetryFirstMs : std::min(kRingRetryMaxMs, pause.length_ms * 2);
  pause.until_ms = clock_.monotonic_ms() + pause.length_ms;
  pause.position = position;
}

// It is not read: for good, or not yet again.
bool Intake::is_at_rest(const Port& port, uint32_t ring) const {
  if (!port.state.rings[ring].poisoned.empty()) return true;
  const RingPause& pause = port.pauses[ring];
  return pause.until_ms != 0 && clock_.monotonic_ms() < pause.until_ms;
}

void Intake::take_requests(Port& port) {
  for (const Request& request : port.notes.requests) {
    if (request.kind == RequestKind::kRunInfo) {
      RunInfo info = info_;
      info.name = board_.meta().name;
      deliver(port, request, run_info_reply(info), large_);
      continue;
    }
    port.waiting.push_back({request, tails_of(port)});
    if (request.kind != RequestKind::kFinish || port.end) continue;
    // The exit word counts only when no Finish record came before.
    port.end = EndFacts{.exit_word = 0, .is_leaving = false};
    port.end_targets = port.waiting.back().targets;
  }
  port.notes.requests.clear();
}

void Intake::advance(const std::shared_ptr<Port>& port) {
  // Each turn, because its threads may ask before they have seen the word that says so.
  if (port->is_poisoned) fail_poisoned_requests(*port->segment, port->state.rings);
  if (!port->waiting.empty()) answer_waiting(port);
  if (!port->end || port->is_settled || !is_drained_to(*port, port->end_targets)) return;
  settle(port);
}

void Intake::answer_waiting(const std::shared_ptr<Port>& port) {
  std::erase_if(port->waiting, [&](const WaitingRequest& waiting) {
    const Request& request = waiting.request;
    if (!is_drained_to(*port, waiting.targets)) return false;
    const bool is_all_stored =
        in_flight_ == 0 && batch_->commit.empty() && batch_->answers.empty() && !port->end;
    if (request.kind == RequestKind::kFlush &&
        (request.level == Durability::kCommitted ||
         (request.level == Durability::kStored && is_all_stored))) {
      const Ledger ledger = ledger_of(*port);
      deliver(*port, request,
              flush_reply({ledger.stored, port->synced_rows.load(std::memory_order_relaxed),
                           port->sent_rows.load(std::memory_order_relaxed)}),
              large_);
      return true;
    }
    start_batch();
    batch_->is_urgent = true;
    batch_->is_synced |=
        request.kind == RequestKind::kFinish ||
        (request.kind == RequestKind::kFlush && request.level >= Durability::kSynced);
    batch_->answers.push_back({port, request});
    port->is_dirty = true;
    return true;
  });
}

std::unique_ptr<Batch> Intake::take_due(int64_t now_ms) {
  if (in_flight_ != 0 || batch_->started_ms == 0) return nullptr;
  const bool is_due = batch_->is_urgent || now_ms - batch_->started_ms >= kBatchAgeMs ||
                      batch_->bytes >= kBatchBytesMax / 2;
  if (!is_due) return nullptr;
  seal(*batch_);
  in_flight_ = batch_->serial;
  in_flight_since_ms_ = batch_->started_ms;
  auto next = std::make_unique<Batch>();
  next->serial = next_serial_++;
  return std::exchange(batch_, std::move(next));
}

void Intake::seal(Batch& batch) {
  for (const auto& port : ports_) {
    if (!port->is_dirty) continue;
    port->is_dirty = false;
    refresh_state(*port);
    board_.update(port->state, clock_.realtime_ns());
    batch.commit.producers.push_back(port->state);
    batch.progress.push_back(progress_of(port));
    if (batch.progress.back().is_last) batch.commit.gone.push_back(port->producer);
  }
  batch.commit.meta = board_.take_changed_meta();
  if (live_.is_on()) summarise(batch.commit);
}

void Intake::summarise(const store::Commit& commit) {
  for (const store::RowBlock& block : commit.blocks) {
    const auto port = std::find_if(ports_.begin(), ports_.end(), [&](const auto& candidate) {
      return candidate->producer == block.producer;
    });
    const store::KeySet* keys = handler_.find_keys(block.key_set);
    if (port != ports_.end() && keys != nullptr) live_.add(block, *keys, (*port)->state);
  }
  for (const store::RecordEntry& record : commit.records) live_.add(record);
}

Progress Intake::progress_of(const std::shared_ptr<Port>& port) {
  Progress progress;
  progress.port = port;
  for (uint32_t ring = 0; ring < port->readers.size(); ++ring) {
    const store::RingState& state = port->state.rings[ring];
    if (state.stored > 0) {
      progress.ends[{port->producer, static_cast<uint16_t>(ring)}] = port->lanes[ring].stored_end;
    }
    // A poisoned ring is not read on, so its room is of no use.
    if (state.poisoned.empty() && state.position != port->stored_positions[ring]) {
      progress.positions.emplace_back(ring, state.position);
    }
  }
  const Ledger ledger = ledger_of(*port);
  progress.attempted = ledger.attempted;
  progress.stored = ledger.stored;
  progress.dropped = ledger.dropped;
  progress.is_settle = port->is_settled && !std::exchange(port->is_settle_told, port->is_settled);
  if (port->is_settled && port->retire_targets) {
    // Whoever takes over copies the rest of its files, so it must find the segment.
    progress.is_last = is_drained_to(*port, *port->retire_targets) && !port->notes.has_files;
    port->is_dirty = !progress.is_last;
  }
  return progress;
}

// What the store would not take is stored no more, and the next batch says so.
void Intake::uncount(const StrippedRows& stripped) {
  for (const auto& port : ports_) {
    if (port->producer != stripped.lane.producer || stripped.lane.ring >= port->lanes.size()) {
      continue;
    }
    Lane& lane = port->lanes[stripped.lane.ring];
    lane.stored -= std::min(lane.stored, stripped.rows);
    refresh_state(*port);
    port->is_dirty = true;
    start_batch();
  }
}

void Intake::confirm(std::unique_ptr<Batch> batch) {
  in_flight_ = 0;
  confirmed_ = batch->serial;
  for (const StrippedRows& stripped : batch->stripped) uncount(stripped);
  std::vector<uint32_t> settled;
  std::vector<uint32_t> retired;
  for (const Progress& progress : batch->progress) {
    for (const auto& [ring, position] : progress.positions) {
      progress.port->stored_positions[ring] = position;
    }
    if (progress.is_settle) settled.push_back(progress.port->producer);
    if (!progress.is_last) continue;
    retired.push_back(progress.port->producer);
    let_go(progress.port);
  }
  // Who is settled asks for no more files, so that somebody has to see to those that came late.
  for (const FileAsk& file : batch->files) {
    const bool is_late = std::any_of(ports_.begin(), ports_.end(), [&](const auto& port) {
      return port->producer == file.producer && port->is_settle_told;
    });
    const bool is_told = std::find(settled.begin(), settled.end(), file.producer) != settled.end();
    if (is_late && !is_told) settled.push_back(file.producer);
  }
  std::vector<std::function<void()>> joined;
  std::erase_if(joining_, [&](auto& joining) {
    const bool is_stored = std::any_of(batch->progress.begin(), batch->progress.end(),
                                       [&](const Progress& p) { return p.port == joining.first; });
    if (is_stored) joined.push_back(std::move(joining.second));
    return is_stored;
  });
  for (const auto& done : joined) {
    if (done) done();
  }
  for (const uint32_t producer : settled) events_.settled(producer);
  for (const uint32_t producer : retired) events_.retired(producer);
  fire_barriers();
}

bool Intake::is_pressed() const {
  // Whoever came since the last turn, which found little, rings when there is too much.
  if (is_blocked() || peak_ * static_cast<double>(shm::kMarksPerRing) < 1) return false;
  for (const auto& port : ports_) {
    for (uint32_t ring = 0; ring < port->readers.size(); ++ring) {
      const shm::RingReader& reader = port->readers[ring];
      if (reader.backlog() >= reader.capacity() / shm::kMarksPerRing && !is_at_rest(*port, ring)) {
        return true;
      }
    }
  }
  return false;
}

int64_t Intake::due_ms() const {
  const int64_t summary_ms = live_.due_ms();
  if (in_flight_ != 0 || batch_->started_ms == 0) return summary_ms;
  const int64_t age_ms = batch_->is_urgent ? 0 : kBatchAgeMs;
  return std::min(summary_ms, batch_->started_ms + age_ms);
}

bool Intake::is_empty() const {
  return ports_.empty() && in_flight_ == 0 && batch_->started_ms == 0 && barriers_.empty();
}

void Intake::describe(std::vector<ProducerStatus>& out) const {
  for (const auto& port : ports_) {
    ProducerStatus status;
    status.producer = port->producer;
    status.rank = port->state.rank;
    status.attempt = port->state.attempt;
    status.worker = port->state.worker;
    status.pid = port->state.pid;
    status.state = port->state.state;
    const Ledger ledger = ledger_of(*port);
    status.stored = ledger.stored;
    status.dropped = ledger.dropped;
    for (uint32_t ring = 0; ring < port->readers.size(); ++ring) {
      status.ring_bytes += port->readers[ring].capacity();
      status.backlog_bytes += unstored_bytes(*port, ring);
      const std::string& why = port->state.rings[ring].poisoned;
      if (!why.empty()) status.poisoned = "ring " + std::to_string(ring) + ": " + why;
    }
    out.push_back(std::move(status));
  }
}

}  // namespace ringlog::service
