#pragma once
// RingUse: lets one thread into its ring for the duration of one log call.
//
// The common case is one compare of a thread-local id with the run's and two plain stores.  A
// session that closes changes the run's id and then makes all threads of the process pass a barrier
// (Session::quiesce), so that either we see the new id here or the closer sees `busy` and waits.

#include "client/run_core.h"
#include "client/session.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace ringlog::client {

// The rings of one thread: the last one used, and all of them.
//
// Without a destructor: run_log.cc gives the rings back when nothing of the thread can log any
// more.
struct ThreadRings {
  // A closed run has the id 0, which this must not be equal to.
  static constexpr uint64_t kNone = UINT64_MAX;
  uint64_t session_id = kNone;  // of `ring`
  ThreadRing* ring = nullptr;
  bool is_inside = false;  // in a log call: a signal handler that logs must not start another
  struct Entry {
    std::shared_ptr<Session> session;
    ThreadRing* ring;
  };
  std::vector<Entry>* entries = nullptr;
};
extern constinit thread_local ThreadRings t_rings;
// Of a ring that this thread is inside of; it lives as long.  nullptr: of another thread.
Session* session_of(const ThreadRing& ring);

}  // namespace ringlog::client

namespace ringlog::detail {

class RingUse {
 public:
  explicit RingUse(RunCore& run) noexcept : run_(run) {
    client::ThreadRings& mine = client::t_rings;
    if (mine.is_inside) return;
    mine.is_inside = true;
    is_entered_ = true;
    if (mine.session_id != run.session_id()) {
      if (run.find_ring() == nullptr) return;
    }
    client::ThreadRing* ring = mine.ring;
    if (ring->is_shared) ring->mutex.lock();
    // ORDER busy: stored before the session's id is read again; the barrier in Session::quiesce()
    // stands for the fence between them.
    ring->busy.store(1, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    ring_ = ring;
    if (mine.session_id != run.session_id()) leave();
  }
  ~RingUse() {
    if (ring_ != nullptr) {
      // Of a signal handler that came into the middle of this, or of a moment without memory.
      if (run_.has_unlogged()) [[unlikely]]
        run_.settle_unlogged(*ring_);
      leave();
    }
    if (is_entered_) client::t_rings.is_inside = false;
  }
  RingUse(const RingUse&) = delete;
  RingUse& operator=(const RingUse&) = delete;

  // nullptr: logging is off for this call; count it.
  client::ThreadRing* ring() const { return ring_; }

 private:
  void leave() {
    // ORDER busy: publishes what was written to whoever waits in quiesce().
    ring_->busy.store(0, std::memory_order_release);
    if (ring_->is_shared) ring_->mutex.unlock();
    ring_ = nullptr;
  }

  RunCore& run_;
  client::ThreadRing* ring_ = nullptr;
  bool is_entered_ = false;
};

}  // namespace ringlog::detail
