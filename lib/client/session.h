#pragma once
// Session: one process's attachment to one run: its segment, the rings of its threads, its mailbox
// and its control connection.
//
// A Session is shared by the threads of a process and by the handles of its requests; it lives
// until the last of them is gone, so that a late log() never touches unmapped memory.  After fork()
// the child leaks its copy (the segment is not mapped there) and makes a session of its own.
//
// Thread safe unless a member says otherwise.

#include "client/control_client.h"
#include "client/held_mutex.h"
#include "client/launch.h"
#include "client/pending_rows.h"
#include "client/row_clock.h"
#include "client/settings_layers.h"
#include "client/template_table.h"
#include "shm/mailbox.h"
#include "shm/notice.h"
#include "shm/ring.h"
#include "shm/segment.h"

#include <ringlog/result.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ringlog::client {

// One ring and what belongs to its producer.  Used by one thread at a time, handed from thread to
// thread through Session's free list; the shared one is used under `mutex`.
struct ThreadRing {
  ThreadRing(shm::RingWriter ring_writer, uint32_t ring_index)
      : writer(ring_writer), index(ring_index), is_shared(ring_index == shm::kSharedRing) {}

  shm::RingWriter writer;
  const uint32_t index;
  const bool is_shared;
  std::mutex mutex;  // of the shared ring only
  TemplateTable templates;
  RowClock clock;
  // ORDER busy: 1 while its thread is inside log(); see Session::quiesce().
  std::atomic<uint32_t> busy{0};
  // True after one full wait for room: rows are dropped at once until there is room again, so that
  // a service that is gone costs one wait, not one wait a row.
  bool is_stalled = false;
  PendingRows pending;        // of the `coalesce` policy; empty otherwise
  int64_t next_check_ns = 0;  // time of a row that looks at the service's heartbeat again
};

// What a session is made from.
struct SessionSpec {
  ResolvedSettings settings;
  std::string runtime_dir;       // where the service is found
  uint32_t worker = 0;           // 0: the rank itself; a number: a tool of this run
  uint32_t parent_producer = 0;  // the producer this process was forked from; 0: none
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  // Starts or finds the service, creates or joins the run, maps the segment.  Waits at most
  // `timeout`.  Errors as try_init().
  static Result<std::shared_ptr<Session>> open(const SessionSpec& spec,
                                               std::chrono::milliseconds timeout);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Constant after open().
  const std::string& run_id() const { return run_id_; }
  const std::string& run_name() const { return run_name_; }
  const std::string& run_dir() const { return run_dir_; }
  const std::string& notice() const { return notice_; }
  int32_t rank() const { return segment_->header().rank; }
  int32_t attempt() const { return segment_->header().attempt; }
  uint32_t producer_id() const { return segment_->header().producer_id; }
  uint64_t next_step() const { return next_step_; }
  const shm::ServiceWords& service_words() const { return segment_->service(); }
  shm::ProducerWords& producer_words() { return segment_->producer(); }
  uint64_t id() const { return id_; }
  // What the service has to say and has not said yet; any thread, and in a signal handler.  How
  // much of `text` it is.
  std::optional<size_t> take_notice(shm::NoticeText& text);

  // A ring for the calling thread: its own, a returned one, or the shared one.
  ThreadRing* take_ring();
  // From a thread that ends; the ring goes to the next thread that asks.
  void return_ring(ThreadRing* ring);

  // Reserves room for a record that must get through (config, alerts, requests): waits, with the
  // service looked after, at most `timeout`; a thread that logs no longer than until quiesce().
  // The calling thread owns `ring`.  nullptr: no room.
  std::byte* reserve_or_wait(ThreadRing& ring, uint32_t bytes, std::chrono::nanoseconds timeout);

  // Looks whether the service lives and, at most once in 200 ms, starts one without waiting for it.
  // Never blocks longer than starting a process takes, and allocates nothing: it may come from a
  // log() in a signal handler.  Only where /dev/shm had no room for the segment, whose descriptor
  // is then handed to the new service over a connection, it does allocate.
  void check_service() noexcept;
  // True unless the service's heartbeat is old and its connection broken.
  bool is_service_there();

  // Hands the bytes of a record that is too large for a ring to the service.  Waits at most `wait`,
  // but a second for a service that has answered the last time: it takes a moment to do it.
  //   kTooLarge, kServiceGone, kTimeout, kIo
  Result<uint64_t> upload_blob(std::span<const std::byte> bytes, std::chrono::milliseconds wait);
  // Fetches a mailbox reply that did not fit its slot.
  Result<std::string> fetch_reply(const shm::Mailbox::Claim& claim,
                                  std::chrono::milliseconds timeout);

  shm::Mailbox& mailbox() { return mailbox_; }

  // Sum over all rings: rows attempted, rows dropped.  Exact once no thread logs.
  uint64_t attempted_rows() const;
  uint64_t dropped_rows() const;
  void count_lost_record();

  // Waits until no thread is inside log() any more, at most a second and until the deadline; who
  // waits for room gives up.  Threads that come later must already see that the session is closed.
  void quiesce(int64_t deadline_ns);
  // After quiesce(): calls `body` for each ring in use, but for those whose thread is still inside
  // log(): it stands still, or hands a large record over.
  template <typename Body>
  void for_each_quiet_ring(Body body) {
    const std::lock_guard lock(rings_mutex_);
    for (const auto& ring : rings_) {
      if (ring && is_quiet(*ring)) body(*ring);
    }
  }
  // After quiesce(): `wanted` if no other thread is inside of it, else any such ring; nullptr:
  // none.
  ThreadRing* quiet_ring(ThreadRing* wanted) const;
  // Tells the service how this process ended; for exit handlers: one store, one doorbell.
  void record_exit(int exit_code);
  // Around fork(): holds the locks of all sessions of the process, also of those whose run is over,
  // so that a child finds them free and the state whole.  After the locks of the runs.
  static void lock_all_for_fork();
  // In the child, where no segment is mapped, each is left behind: its descriptors are closed, so
  // that the parent's death is seen and nothing of it outlives it, and it is kept for ever,
  // because unmapping its addresses could hit somebody else's memory.  Allocates nothing.
  static void unlock_all_after_fork(bool is_child);
  // Whose process this is not: nothing of the segment may be touched.
  bool is_left_behind() const { return is_left_behind_; }
  // The service has stored what there was, and reads this segment no more.  One system call.
  bool is_retired() const;

 private:
  Session(SessionSpec spec, std::unique_ptr<ControlClient> control,
          std::unique_ptr<shm::ClientSegment> segment, std::unique_ptr<shm::Doorbell> doorbell);
  static Result<std::shared_ptr<Session>> attach(const SessionSpec& spec,
                                                 std::unique_ptr<ControlClient> control,
                                                 int64_t deadline_ns);
  // ORDER busy: what the thread wrote before it left is visible to us.
  static bool is_quiet(const ThreadRing& ring) {
    return ring.busy.load(std::memory_order_acquire) == 0;
  }
  void lock_for_fork();
  void unlock_after_fork();
  static void leave_behind(std::shared_ptr<Session> session) noexcept;
  ThreadRing* make_ring(uint32_t index);
  bool is_heartbeat_fresh() const;
  void reconnect_locked();
  bool hand_segment_over(ControlClient& service) const;
  bool is_upload_hopeless_locked() const;
  void look_for_named_segment() noexcept;
  void look_for_unnamed_segment() noexcept;
  // The connection to a service that lives, finding or starting one until the deadline.
  Result<ControlClient*> control_locked(int64_t deadline_ns);
  // One question, asked again of the next service when this one dies.
  Result<ControlAnswer> call_locked(capnp::MallocMessageBuilder& request, std::span<const int> fds,
                                    std::chrono::milliseconds timeout);

  // Constant after open().
  const SessionSpec spec_;
  const uint64_t id_;  // unique in this process, never reused
  std::unique_ptr<shm::ClientSegment> segment_;
  std::unique_ptr<shm::Doorbell> doorbell_;
  shm::Mailbox mailbox_;
  std::string run_id_;
  std::string run_name_;
  std::string run_dir_;
  std::string segment_name_;
  std::string notice_;
  uint64_t next_step_ = 0;

  mutable HeldMutex rings_mutex_;
  std::array<std::unique_ptr<ThreadRing>, shm::kRingCount> rings_;  // guarded by rings_mutex_
  std::vector<ThreadRing*> free_rings_;                             // guarded by rings_mutex_
  // Set by quiesce(); a hint for those who wait, it publishes nothing.
  std::atomic<bool> is_closing_{false};
  uint32_t ring_count_ = 0;  // guarded by rings_mutex_

  HeldMutex control_mutex_;
  std::unique_ptr<ControlClient> control_;  // guarded by control_mutex_
  BackgroundLaunch launch_;                 // guarded by control_mutex_
  uint32_t epoch_;                          // of the service control_ leads to; guarded
  int64_t next_repair_ms_ = 0;              // guarded by control_mutex_
  int64_t next_launch_ms_ = 0;              // guarded by control_mutex_
  uint64_t next_blob_id_ = 1;               // guarded by control_mutex_
  int64_t next_upload_ms_ = 0;              // when one may take its time again; 0: now; guarded

  HeldMutex notice_mutex_;
  uint32_t seen_notice_ = 0;  // guarded by notice_mutex_

  bool is_left_behind_ = false;      // set in a child before it has a second thread
  std::shared_ptr<Session> itself_;  // set by leave_behind()
  Session* kept_before_ = nullptr;   // the next of the list of those left behind
};

}  // namespace ringlog::client
