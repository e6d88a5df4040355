#pragma once
// Stream: one run in the service, as its threads share it.
//
//   control   opens and closes it (stream_mux.h), lets producers join through `board`
//   drain     `intake`: rings, handler, the batch being filled
//   store     `store`, `writes`: what writer.h does
//   tidy      `store`, when nobody logs any more (tidier.h)
//   network   its senders (network.h) read the store
//
// Held by shared_ptr; the store thread gives the store away to be closed when all others have let
// go.

#include "daemon/intake.h"
#include "daemon/run_board.h"
#include "store/store.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace ringlog::service {

struct Stream {
  Stream(const RunInfo& run, std::unique_ptr<store::Store> opened, const store::RunMeta& meta,
         const std::vector<store::ProducerState>& producers, std::vector<store::KeySet> key_sets,
         LargeReplies& large, const Clock& clock, const IntakeEvents& events)
      : info(run),
        store(std::move(opened)),
        board(meta, producers),
        is_every_write_synced(meta.is_synced),
        intake(
            run, board, std::move(key_sets),
            [this](store::BlobId id) { return store->get_blob(id); }, large, clock, events) {}

  // Constant.
  const RunInfo info;

  // Set once by the control thread before the stream is shared, reset by the store thread.
  std::unique_ptr<store::Store> store;

  // Thread safe.
  RunBoard board;
  std::atomic<bool> is_every_write_synced;  // once true, for good: also for the next service
  std::atomic<bool> has_sinks{false};       // once true, for good

  // Drain thread.
  Intake intake;

  // Store thread.
  struct Writes {
    std::set<std::shared_ptr<Port>> unsynced;  // have rows that a power cut would take
    int64_t unsynced_since_ms = 0;             // 0: all is synced
    uint64_t failures = 0;                     // in a row
  } writes;
};

}  // namespace ringlog::service
