#include "daemon/port.h"

#include "shm/notice.h"

#include <algorithm>

namespace ringlog::service {

Port::Port(std::unique_ptr<shm::ServiceSegment> mapped, std::string file_path,
           store::ProducerState stored)
    : segment(std::move(mapped)),
      path(std::move(file_path)),
      uuid(shm::header_text(segment->header().uuid)),
      producer(stored.producer),
      state(std::move(stored)) {
  const shm::SegmentHeader& header = segment->header();
  state.segment = uuid;
  state.rings.resize(header.ring_count);
  notes.next_step = state.next_step;
  if (const auto& said = state.said_end) {
    notes.finish = ExitInfo{said->exit_code, said->signal};
    notes.is_finish_implied = said->is_implied;
  }
  for (uint32_t ring = 0; ring < header.ring_count; ++ring) {
    const store::RingState& known = state.rings[ring];
    readers.emplace_back(segment->fd(), header.rings[ring], segment->ring_producer(ring),
                         segment->ring_consumer(ring), known.position);
    // A service that died between its write and this left a full ring full: nothing new would ever
    // be drained from it, so nobody else would give its room back.
    readers.back().give_back(known.position);
    Lane lane;
    lane.producer = producer;
    lane.ring = static_cast<uint16_t>(ring);
    // Not what was attempted: rows of that may still come, with the numbers they have.
    lane.next_seq = std::max(known.drained_seq, known.stored);
    lane.stored = known.stored;
    lane.stored_end = known.stored > 0 ? lane.next_seq : 0;  // at most; see Intake::set_ends()
    lanes.push_back(std::move(lane));
    stored_positions.push_back(known.position);
    targets.push_back(known.position);
    pauses.emplace_back();
  }
  is_poisoned = state.is_poisoned();
  stored_rows = ledger_of(*this).stored;
  synced_rows.store(stored_rows, std::memory_order_relaxed);
}

void Port::tell(const std::string& text) {
  const std::lock_guard lock(notice_mutex);
  shm::write_notice(segment->service().notice, text);
}

Result<std::shared_ptr<Port>> open_port(shm::Fd&& fd, const std::string& path,
                                        const store::ProducerState& state) {
  const std::string what = path.empty() ? "memfd segment" : path;
  auto mapped = shm::ServiceSegment::map(std::move(fd), what);
  if (!mapped) return mapped.take_error();
  return std::make_shared<Port>(std::move(*mapped), path, state);
}

Ledger ledger_of(const Port& port) {
  Ledger sum;
  for (const store::RingState& ring : port.state.rings) {
    sum.attempted += ring.stored + ring.dropped + ring.missing;
    sum.stored += ring.stored;
    sum.dropped += ring.dropped;
  }
  return sum;
}

uint64_t unstored_bytes(const Port& port, uint32_t ring) {
  const shm::RingReader& reader = port.readers[ring];
  return reader.backlog() + reader.position() - port.stored_positions[ring];
}

void refresh_state(Port& port) {
  port.state.next_step = port.notes.next_step;
  if (const auto& finish = port.notes.finish) {
    port.state.said_end =
        store::SaidEnd{finish->exit_code, finish->signal, port.notes.is_finish_implied};
  }
  // Zero in a segment whose file was cut.
  port.state.lost_records =
      std::max(port.state.lost_records,
               port.segment->producer().lost_records.load(std::memory_order_relaxed));
  for (uint32_t index = 0; index < port.lanes.size(); ++index) {
    const Lane& lane = port.lanes[index];
    const shm::RingProducer& words = port.segment->ring_producer(index);
    store::RingState& ring = port.state.rings[index];
    // A poisoned ring stays where its last good record ended.
    if (ring.poisoned.empty()) ring.position = port.readers[index].position();
    ring.stored = lane.stored;
    // ORDER drop: attempted first; the producer stores it last, so dropped is at least what it
    // implies.  Then dropped, then the tail: a row whose drop was taken back is seen as backlog.
    // A producer that died is read whole.
    const uint64_t attempted_untrusted = words.attempted_rows.load(std::memory_order_acquire);
    const uint64_t dropped_untrusted = words.dropped_rows.load(std::memory_order_acquire);
    // What stands in a poisoned ring will not be drained: it is lost, as far as it was counted.
    const bool is_all_drained = port.readers[index].backlog() == 0 || !ring.poisoned.empty();
    const bool is_possible = attempted_untrusted < store::kSeqEnd;
    const uint64_t attempted = is_all_drained && is_possible
                                   ? std::max(lane.next_seq, attempted_untrusted)
                                   : lane.next_seq;
    const uint64_t lost = attempted > lane.stored ? attempted - lane.stored : 0;
    ring.next_seq = attempted;
    ring.drained_seq = lane.next_seq;
    ring.dropped = std::min(dropped_untrusted, lost);
    ring.missing = lost - ring.dropped;
    if (ring.key_sets.size() == lane.kinds.size()) continue;
    ring.key_sets.clear();
    for (size_t kind = 0; kind < lane.kinds.size(); ++kind) {
      if (lane.kinds[kind].key_set == 0) continue;
      ring.key_sets.emplace_back(static_cast<uint16_t>(kind + shm::kKindRowFirst),
                                 lane.kinds[kind].key_set);
    }
  }
}

std::vector<uint64_t> tails_of(Port& port) {
  std::vector<uint64_t> tails;
  for (uint32_t ring = 0; ring < port.readers.size(); ++ring) {
    // ORDER tail: a target only; poll() loads it again with acquire before it reads records.
    tails.push_back(port.segment->ring_producer(ring).tail.load(std::memory_order_acquire));
    port.targets[ring] = std::max(port.targets[ring], tails.back());
  }
  return tails;
}

bool is_drained_to(const Port& port, const std::vector<uint64_t>& targets) {
  for (size_t ring = 0; ring < targets.size(); ++ring) {
    if (!port.state.rings[ring].poisoned.empty()) continue;
    if (port.readers[ring].position() < targets[ring]) return false;
  }
  return true;
}

bool is_stored_to(const Port& port, const std::vector<uint64_t>& targets) {
  for (size_t ring = 0; ring < targets.size(); ++ring) {
    if (!port.state.rings[ring].poisoned.empty()) continue;
    if (port.stored_positions[ring] < targets[ring]) return false;
  }
  return true;
}

}  // namespace ringlog::service
