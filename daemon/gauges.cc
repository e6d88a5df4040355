#include "daemon/gauges.h"

#include "daemon/intake.h"
#include "daemon/port.h"
#include "daemon/run_board.h"

#include <algorithm>
#include <span>
#include <utility>

namespace ringlog::service {

namespace {

// Not in the middle of a character.
std::string cut_text(std::string text) {
  if (text.size() <= kGaugesTextMax) return text;
  size_t size = kGaugesTextMax;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  text.resize(size);
  return text;
}

RingGauges gauges_of(const Port& port, uint32_t ring) {
  RingGauges gauges;
  gauges.capacity = port.readers[ring].capacity();
  gauges.is_poisoned = !port.state.rings[ring].poisoned.empty();
  // A tail that cannot be counts as more than there is room for.
  if (!gauges.is_poisoned) {
    gauges.used_bytes = std::min(unstored_bytes(port, ring), gauges.capacity);
  }
  return gauges;
}

ProducerGauges gauges_of(const Port& port) {
  ProducerGauges gauges;
  gauges.producer = port.producer;
  gauges.rank = port.state.rank;
  gauges.attempt = port.state.attempt;
  gauges.worker = port.state.worker;
  gauges.pid = port.state.pid;
  gauges.stored = port.segment->service().stored_rows.load(std::memory_order_relaxed);
  for (uint32_t ring = 0; ring < port.readers.size(); ++ring) {
    const shm::RingReader& reader = port.readers[ring];
    if (reader.position() == 0 && reader.backlog() == 0) continue;  // nobody ever used it
    const shm::RingProducer& words = port.segment->ring_producer(ring);
    // Plain counters of the other side; nobody acts on them.
    gauges.is_waiting |= words.waiting.load(std::memory_order_relaxed) != 0;
    gauges.waited_ns += words.blocked_ns.load(std::memory_order_relaxed);
    gauges.dropped += words.dropped_rows.load(std::memory_order_relaxed);
    gauges.logged +=
        std::max(port.lanes[ring].next_seq, words.attempted_rows.load(std::memory_order_relaxed));
    gauges.rings.push_back(gauges_of(port, ring));
    gauges.unstored_bytes += gauges.rings.back().used_bytes;
  }
  return gauges;
}

// Of all its processes: those that are read now as their words say, the others as the board does.
void add_sums(RunGauges& run, const RunBoard& board) {
  std::vector<uint32_t> ids;
  for (const ProducerGauges& producer : run.producers) {
    ids.push_back(producer.producer);
    run.logged += producer.logged;
    run.stored += producer.stored;
    run.dropped += producer.dropped;
    run.backlog_bytes += producer.unstored_bytes;
  }
  std::sort(ids.begin(), ids.end());
  const RowSums others = board.rows_without(ids);
  run.logged += others.attempted;
  run.stored += others.stored;
  run.dropped += others.dropped;
}

}  // namespace

RunGauges read_gauges(const RunInfo& info, const RunBoard& board, const Intake& intake,
                      int64_t now_ms, size_t producers_max) {
  RunGauges run;
  run.run_id = info.run_id;
  run.project = info.project;
  run.dir = info.dir;
  run.state = board.meta().state;
  run.store_error = cut_text(board.store_error());
  run.live = static_cast<uint32_t>(board.running_count());
  const int64_t since_ms = intake.unstored_since_ms();
  if (since_ms != 0) run.lag_ms = static_cast<uint64_t>(std::max<int64_t>(now_ms - since_ms, 0));
  for (const auto& port : intake.ports()) {
    if (!port->is_settled) run.producers.push_back(gauges_of(*port));
  }
  add_sums(run, board);
  if (run.producers.size() > producers_max) {
    const auto end = run.producers.begin() + static_cast<std::ptrdiff_t>(producers_max);
    std::partial_sort(
        run.producers.begin(), end, run.producers.end(), [](const auto& a, const auto& b) {
          return std::pair(b.unstored_bytes, a.producer) < std::pair(a.unstored_bytes, b.producer);
        });
    run.producers_left_out = static_cast<uint32_t>(run.producers.size() - producers_max);
    run.producers.erase(end, run.producers.end());
  }
  return run;
}

void take_sinks(RunGauges& run, std::vector<SinkStatus> sinks, size_t& room, uint32_t& left_out) {
  for (SinkStatus& sink : sinks) {
    if (room == 0) {
      ++left_out;
      continue;
    }
    --room;
    const uint64_t done = sink.sent_rows + sink.left_out_rows;
    sink.lag_rows = run.stored > done ? run.stored - done : 0;
    if (sink.lag_rows == 0) sink.lag_ms = 0;
    sink.url = cut_text(std::move(sink.url));
    sink.last_error = cut_text(std::move(sink.last_error));
    run.sinks.push_back(std::move(sink));
  }
}

}  // namespace ringlog::service
