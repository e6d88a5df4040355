#pragma once
// Intake: the drain thread's half of one run: its rings, its handler, the batch being filled.
//
// One batch is with the store thread at most; what comes in meanwhile goes into the next one.
// Memory is bounded because room is given back to producers only after the write (writer.h), and by
// kBatchBytesMax.
//
// Belongs to the drain thread entirely; nothing in it blocks but the handler's blobs.  Callbacks
// run on the drain thread.

#include "daemon/batch.h"
#include "daemon/clock.h"
#include "daemon/handler.h"
#include "daemon/large_replies.h"
#include "daemon/live_summary.h"
#include "daemon/port.h"
#include "daemon/run_board.h"
#include "daemon/run_spec.h"

#include <ringlog/handle.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace ringlog::service {

// Where ring bytes are copied to; one per drain thread.
struct Scratch {
  std::vector<std::byte> bytes;
  std::vector<shm::RecordView> views;
};

// What an intake tells the rest of the service.
struct IntakeEvents {
  // The producer's final state is stored; again for files that it asked for afterwards.
  std::function<void(uint32_t producer)> settled = [](uint32_t) {};
  // Its segment is gone.
  std::function<void(uint32_t producer)> retired = [](uint32_t) {};
  // A ring is not read any more; its bytes from `position` on may be kept aside.
  std::function<void(std::shared_ptr<Port>, uint32_t ring, uint64_t position)> poisoned =
      [](const std::shared_ptr<Port>&, uint32_t, uint64_t) {};
};

class Intake {
 public:
  // All references must outlive the intake.
  Intake(RunInfo info, RunBoard& board, std::vector<store::KeySet> key_sets,
         Handler::FetchBlob fetch_blob, LargeReplies& large, const Clock& clock,
         IntakeEvents events);

  // Keeps a live summary from now on; before the first producer.
  void start_summary(std::string path, store::SummaryFacts facts) {
    live_.start(std::move(path), std::move(facts));
  }
  // Behind the last row of each lane that the store has; before the first producer.  Without it
  // rows that were lost there count as rows that are still to be sent.
  void set_ends(store::Cursors ends) { ends_ = std::move(ends); }
  // Key sets that come anew have ids above `last`; before the first producer.
  void reserve_key_sets(uint32_t last) { handler_.reserve_key_sets(last); }
  // The run is closed: nobody reads it live any more.
  void end_summary() { live_.remove(); }
  // Takes a producer in; `stored` is called once its state is in the store.
  void add(std::shared_ptr<Port> port, std::function<void()> stored);
  // The process is dead or has detached: drain what it committed up to now, then settle, and, when
  // it is leaving, retire.
  void end(uint32_t producer, const EndFacts& facts);
  // A settled producer needs its segment no longer: store what is still in it, then let go.
  void retire(uint32_t producer);
  // A producer of which there is no segment any more, or none that was found yet: its large records
  // are kept, because what refers to them may still come.
  void end_without_segment(store::ProducerState state, const EndFacts& facts);
  // Nothing of a producer will ever be read any more: what is kept of its large records goes.
  void forget_blobs(uint32_t producer);
  // Calls `done` when all that is committed now is stored and every producer that ended is settled.
  void barrier(std::function<void()> done);
  // What all sinks acknowledged: into the words of the producers.
  void publish_sent(const store::Cursors& sent, uint32_t network_state);
  // Samples of the machine, of the service itself; stored once, like rows.
  void add_stats(store::Stats stats);
  // The run's description changed: commit it soon.
  void touch();
  // What became of a file of a producer.
  void add_file(uint32_t producer, const record::FileFacts& file);
  // A producer's files are in their final state: its segment is not needed for them any more.
  void release_files(uint32_t producer);

  // Drains at most kTurnBytes of each ring.  Returns the bytes drained.
  uint64_t turn(Scratch& scratch);
  // The batch, if it is to be written now.
  std::unique_ptr<Batch> take_due(int64_t now_ms);
  // Publishes the live summary, if it is time.
  void publish_summary() { live_.publish_due(clock_.monotonic_ms(), clock_.realtime_ns()); }
  // The batch is in the store.
  void confirm(std::unique_ptr<Batch> batch);

  // How full the fullest ring was that the last turn found, as a part of its room.
  double peak() const { return peak_; }
  // Before the drain thread sleeps: from which part of a ring on its producer is to ring.
  void set_wake_part(uint64_t part);
  // A ring is filled so far that the producer would soon wait.
  bool is_pressed() const;
  // When take_due() will have something, without new records; INT64_MAX: not at all.
  int64_t due_ms() const;
  // When the oldest of what was read and is not in the store was read; 0: everything is stored.
  int64_t unstored_since_ms() const {
    return in_flight_ != 0 ? in_flight_since_ms_ : batch_->started_ms;
  }
  // Nothing to do and nobody attached.
  bool is_empty() const;
  void describe(std::vector<ProducerStatus>& out) const;
  const std::vector<std::shared_ptr<Port>>& ports() const { return ports_; }

 private:
  struct Barrier {
    std::vector<std::pair<std::shared_ptr<Port>, std::vector<uint64_t>>> targets;
    bool is_drained = false;
    uint64_t serial = 0;  // of the batch to wait for, once drained
    std::function<void()> done;
  };

  void start_batch();
  bool is_blocked() const;
  uint64_t drain_ring(const std::shared_ptr<Port>& port, uint32_t ring, Scratch& scratch);
  bool handle_views(const std::shared_ptr<Port>& port, uint32_t ring, uint64_t begin,
                    const Scratch& scratch);
  void poison(const std::shared_ptr<Port>& port, uint32_t ring, uint64_t position,
              const Error& why);
  void pause(Port& port, uint32_t ring, const Error& why);
  bool is_at_rest(const Port& port, uint32_t ring) const;
  void take_requests(Port& port);
  void advance(const std::shared_ptr<Port>& port);
  void answer_waiting(const std::shared_ptr<Port>& port);
  void look_for_broken();
  void poison_broken(const std::shared_ptr<Port>& port);
  void poison_shrunk(const std::shared_ptr<Port>& port, uint32_t ring);
  void settle(const std::shared_ptr<Port>& port);
  void revise(Port& port, const EndFacts& facts);
  void set_end(Port& port, const End& end);
  void let_go(const std::shared_ptr<Port>& port);
  void advance_barriers();
  Progress progress_of(const std::shared_ptr<Port>& port);
  void fire_barriers();
  void uncount(const StrippedRows& stripped);
  void seal(Batch& batch);
  void summarise(const store::Commit& commit);

  const RunInfo info_;
  RunBoard& board_;
  LargeReplies& large_;
  const Clock& clock_;
  const IntakeEvents events_;
  Handler handler_;
  LiveSummary live_;
  std::vector<std::shared_ptr<Port>> ports_;
  std::vector<std::pair<std::shared_ptr<Port>, std::function<void()>>> joining_;
  std::vector<Barrier> barriers_;
  std::unique_ptr<Batch> batch_;
  uint64_t next_serial_ = 1;
  uint64_t in_flight_ = 0;          // serial of the batch with the store thread; 0: none
  int64_t in_flight_since_ms_ = 0;  // when that batch was begun
  uint64_t confirmed_ = 0;          // serial of the last stored batch
  bool was_refusal_logged_ = false;
  bool was_retry_logged_ = false;
  double peak_ = 0;
  store::Cursors ends_;                // of the store as it was found
  uint64_t wake_part_ = 0;             // what the rings were last told; 0: nothing yet
  uint64_t broken_seen_ = UINT64_MAX;  // shm::broken_pages() at the last look at all segments
};

}  // namespace ringlog::service
