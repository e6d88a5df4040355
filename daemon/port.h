#pragma once
// Port: one attached process as the service sees it.
//
// Shared by the control, drain, store and network threads; each member says whose it is.  The
// segment's own words are atomics.

#include "daemon/handler.h"
#include "daemon/process_watch.h"
#include "shm/ring_reader.h"
#include "shm/segment.h"
#include "store/model.h"

#include <ringlog/result.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ringlog::service {

// A request that waits until the rings are drained up to where they were when it came.
struct WaitingRequest {
  Request request;
  std::vector<uint64_t> targets;  // position by ring
};

// A ring that cannot be read on now, and when to try again.
struct RingPause {
  int64_t until_ms = 0;  // monotonic; 0: it is read
  int64_t length_ms = 0;
  uint64_t position = 0;  // of the ring, when it was read last
};

struct Port {
  // Continues each ring where `state` says.
  Port(std::unique_ptr<shm::ServiceSegment> mapped, std::string file_path,
       store::ProducerState stored);

  // Says something to whoever runs the program; any thread.
  void tell(const std::string& text);

  // Constant.
  const std::unique_ptr<shm::ServiceSegment> segment;
  const std::string path;  // of the segment's file; empty: a memfd
  const std::string uuid;
  const uint32_t producer;

  // poll() by the drain thread, give_back() by the store thread.
  std::deque<shm::RingReader> readers;

  // Drain thread.
  store::ProducerState state;  // as of the last record handled; what the next commit says
  std::vector<Lane> lanes;     // by ring
  ProducerNotes notes;
  std::vector<uint64_t> stored_positions;  // by ring; what the store confirmed
  std::vector<uint64_t> targets;           // by ring; the furthest tail that tails_of() gave
  std::vector<RingPause> pauses;           // by ring
  std::vector<WaitingRequest> waiting;
  std::optional<EndFacts> end;        // set: drain up to end_targets, then settle
  std::vector<uint64_t> end_targets;  // by ring
  bool is_dirty = true;               // `state` differs from what was committed
  bool is_wake_stale = true;          // a ring was read on since its producer was told when to wake
  bool is_poisoned = false;           // a ring is not read any more
  bool is_settled = false;            // `state` is final, but for rows that still come
  bool is_settle_told = false;
  std::optional<std::vector<uint64_t>> retire_targets;  // set: let go once stored up to here

  // Store thread.
  uint64_t stored_rows = 0;

  // Held while a notice is written.
  std::mutex notice_mutex;

  // Set by the store thread, read by all: rows of this process, as in ServiceWords.
  std::atomic<uint64_t> synced_rows{0};
  // Set by the network thread, read by the store thread.
  std::atomic<uint64_t> sent_rows{0};
};

// Maps a segment file or memfd that this service created or found.
//   kCorrupt, kVersion, kIo as ServiceSegment::map(); `fd` is still the caller's then
Result<std::shared_ptr<Port>> open_port(shm::Fd&& fd, const std::string& path,
                                        const store::ProducerState& state);

// Adds up the rings: rows attempted, stored, dropped, missing, as far as the rings are drained.
struct Ledger {
  uint64_t attempted = 0;
  uint64_t stored = 0;
  uint64_t dropped = 0;
};
Ledger ledger_of(const Port& port);

// Bytes that a ring's producer committed and the store does not have.  Drain thread.
uint64_t unstored_bytes(const Port& port, uint32_t ring);

// Brings state.rings up to what was drained and what the producer counted.  Drain thread.
void refresh_state(Port& port);

// Positions the producer has committed, by ring, not trusted: a target to drain to.  Drain thread.
std::vector<uint64_t> tails_of(Port& port);
// True when every ring that is still read was drained up to `targets`.
bool is_drained_to(const Port& port, const std::vector<uint64_t>& targets);
// True when the store confirmed everything up to `targets`.
bool is_stored_to(const Port& port, const std::vector<uint64_t>& targets);

}  // namespace ringlog::service
