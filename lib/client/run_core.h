#pragma once
// RunCore: what stands behind a Run: settings, the session of this process, counters.
//
// Shared by the Run, its Rows and its handles.  Thread safe; see each member.  After fork() the
// child finds itself without a session and opens one of its own on the first log().

#include "client/alert_limits.h"
#include "client/held_mutex.h"
#include "client/in_process.h"
#include "client/session.h"
#include "record/encode.h"
#include "record/limits.h"

#include <ringlog/run.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ringlog::detail {

// Of a run that nobody finishes: what a person waits for at the end of a program.
inline constexpr std::chrono::seconds kFinishWait{30};

// Keys of a Row handle.
struct RowCore {
  std::shared_ptr<RunCore> run;
  size_t ordinal = 0;  // within the run, in this process
  std::vector<std::string> keys;
  bool is_refused = false;  // its keys cannot be logged: its rows are dropped and counted
};

class RunCore : public std::enable_shared_from_this<RunCore> {
 public:
  // A disabled run; an error code of kOk means it was asked for.
  explicit RunCore(Error why, client::Console console = client::Console::kOff);
  // Opens the run.  `worker`: 0 for the program itself, client::kExecWorker for `ringlog exec`.
  static Result<std::shared_ptr<RunCore>> open(client::ResolvedSettings settings, uint32_t worker);
  // What init() does: a run in any case, a disabled one when it cannot be opened.  Throws
  // std::runtime_error when the settings are strict.
  static std::shared_ptr<RunCore> open_always(const client::SettingFields& arguments);
  static Run make_run(std::shared_ptr<RunCore> core);
  ~RunCore();
  RunCore(const RunCore&) = delete;
  RunCore& operator=(const RunCore&) = delete;

  // The hot path and its slow sides: run_log.cc; other records and requests: run_records.cc.
  void log_row(const RowCore& row, uint64_t step, std::span<const double> cells) noexcept;
  void log_items(std::span<const Item> items, const LogOptions& options) noexcept;
  // Puts a record that is not a row into this thread's ring, whatever it takes within the setting's
  // time; what cannot be written is counted and said once, whether or not the caller looks.
  //   kDisabled      this process does not log, or not yet, or is inside log() already
  //   kBackpressure  there was no room in time
  //   kIo            no memory, or the service could not take a large record
  Status publish(const record::Words& words) noexcept;
  // Within a time of the caller's.
  Status publish(const record::Words& words, std::chrono::nanoseconds wait) noexcept;
  // How long records that are no rows wait for room.
  std::chrono::nanoseconds record_wait() const;
  // The same for output of a program, of which there may be any amount: it waits for room once, as
  // rows do, and is dropped and counted while there is none.
  void publish_output(const record::Words& words) noexcept;
  Result<std::unique_ptr<PendingReply>> deliver(record::RequestSpec request) noexcept;

  // What ended the program on whose behalf this run will be finished.
  void set_finish_signal(int signal) {
    finish_signal_.store(static_cast<uint8_t>(signal), std::memory_order_relaxed);
  }
  // Closes the run for this process and waits for the ledger; Run::finish().
  // `is_implied`: nobody asked for it, the run was destroyed; what the process exits with counts
  // more.
  FinishReport finish(int exit_code, std::chrono::nanoseconds timeout,
                      bool is_implied = false) noexcept;
  // Closes the run and asks for the ledger; may be called again on a closed run.
  Result<std::unique_ptr<PendingReply>> start_finish(int exit_code) noexcept;
  // What the answer to that said; finish() returns it.
  void keep_report(const FinishReport& report) noexcept;

  bool should_stop() const noexcept;
  // At the step that all ranks agreed on; both tell the service where this rank is.
  bool should_stop(uint64_t step) noexcept;
  bool should_checkpoint(uint64_t step) noexcept;
  SyncStatus sync_status() const noexcept;
  // The id of the open session; 0: none.  Relaxed: RingUse explains the protocol.
  uint64_t session_id() const { return session_id_.load(std::memory_order_relaxed); }
  // nullptr: none is open, or as above.
  std::shared_ptr<client::Session> session() const;
  // A ring for this thread, attaching first in a forked child; nullptr when logging is off, and in
  // a signal handler that came while the thread held a lock of ours.
  client::ThreadRing* find_ring() noexcept;
  // A row that no ring could be had for: counted by whoever has one next, as dropped.  Only a
  // counter, it publishes nothing.
  void count_unlogged() noexcept { unlogged_rows_.fetch_add(1, std::memory_order_relaxed); }
  bool has_unlogged() const { return unlogged_rows_.load(std::memory_order_relaxed) != 0; }
  void settle_unlogged(client::ThreadRing& ring) noexcept;
  // Keeps `error` for Run::error() and says it on stderr the first time.
  void refuse(Error error) noexcept;
  // The same for what `what` threw; without memory for the words it is only lost.
  void refuse(const char* what, const std::exception& error) noexcept;
  Error error() const;
  client::AlertLimits& alert_limits() { return alert_limits_; }
  // The same for the same keys, so that a program that asks anew each step makes no new key sets.
  size_t row_ordinal(const std::vector<std::string>& keys);

  const std::string& id() const { return id_; }
  const std::string& name() const { return name_; }
  const std::string& dir() const { return dir_; }
  int32_t rank() const { return rank_; }
  int32_t attempt() const { return attempt_; }

  // Process-wide events; see process.h.
  void on_process_exit(int status) noexcept;
  // The end of the process takes the service with it, so the run is finished now.  Nothing where
  // the service is another process.
  void finish_with_service(int status) noexcept;
  // What the process ends with, once it does so in order; nothing before.
  std::optional<int> exit_status() const noexcept;
  void before_fork() noexcept;
  void after_fork(bool is_child) noexcept;

 private:
  friend class RingUse;
  void adopt(std::shared_ptr<client::Session> session);
  void leave_session() noexcept;
  // The process's first record: client/process_facts.h.
  void publish_process() noexcept;
  std::shared_ptr<client::Session> attach_child();
  void say(std::string_view text) const noexcept;
  // The lines at the begin and at the end, from the program of rank 0 unless the setting `console`
  // is quiet or off.
  bool is_talkative() const noexcept;
  void say_notices() const;
  void say_begin() const noexcept;
  void say_end(const FinishReport& report, int64_t deadline_ns) noexcept;
  // Summary and curves; empty: none, or not in time.
  std::string fetch_footer(int64_t deadline_ns) noexcept;
  // A few times a second while rows come: whether the service lives, and what it has to say.
  void look_at_service(client::Session& session) noexcept;
  const shm::ServiceWords* tell_step(uint64_t step) noexcept;
  std::byte* make_room(client::ThreadRing& ring, uint32_t bytes) noexcept;
  // A record that a row needs: itself, or the key set before it.  Waits for room once, as rows of
  // numbers do.  False, said once: it was not written.
  bool write_for_row(client::ThreadRing& ring, const record::Words& words, uint8_t flags,
                     uint64_t seq) noexcept;
  bool write_record(client::Session& session, client::ThreadRing& ring, const record::Words& words,
                    uint8_t flags, uint64_t seq, std::chrono::nanoseconds timeout);
  Result<std::unique_ptr<PendingReply>> write_request(
      const std::shared_ptr<client::Session>& session, client::ThreadRing& ring,
      record::RequestSpec request, std::chrono::nanoseconds timeout);
  // The same, with what it throws as an error.
  Result<std::unique_ptr<PendingReply>> ask(const std::shared_ptr<client::Session>& session,
                                            client::ThreadRing& ring, record::RequestSpec request,
                                            std::chrono::nanoseconds timeout) noexcept;
  // As record_wait(), but not beyond a deadline.
  std::chrono::nanoseconds record_wait_until(int64_t deadline_ns) const;
  const record::RowTemplate* register_row(client::ThreadRing& ring, const RowCore& row) noexcept;
  void log_row_free(client::ThreadRing& ring, const RowCore& row, uint64_t step,
                    std::span<const double> cells) noexcept;
  const record::RowTemplate* register_items(client::ThreadRing& ring, std::span<const Item> items);
  bool log_template(client::ThreadRing& ring, std::span<const Item> items, uint64_t step,
                    int64_t time_ns);
  void log_free(client::ThreadRing& ring, std::span<const Item> items, uint64_t step,
                int64_t time_ns);
  void put_row_when_full(client::ThreadRing& ring, const record::RowTemplate& shape, uint64_t seq,
                         uint64_t step, int64_t time_ns, const uint64_t* bits) noexcept;
  void settle_pending(client::Session& session, client::ThreadRing& ring,
                      std::chrono::nanoseconds timeout) noexcept;
  void put_row(client::ThreadRing& ring, const record::RowTemplate& shape, uint64_t step,
               int64_t time_ns, const uint64_t* bits) noexcept;
  // A few times a second while rows come.
  void check_ring(client::ThreadRing& ring, int64_t time_ns) noexcept;
  void note_step(uint64_t step) noexcept;
  void refuse_cells(size_t values, size_t keys) noexcept;
  bool close(int exit_code, bool is_implied, int64_t deadline_ns) noexcept;
  Result<std::unique_ptr<PendingReply>> ask_at_end(record::RequestKind kind,
                                                   int64_t deadline_ns) noexcept;
  void write_finish(client::Session& session, client::ThreadRing& ring, int exit_code,
                    bool is_implied, int64_t deadline_ns) noexcept;
  FinishReport collect_report(client::Session& session, int64_t deadline_ns);

  // Constant after open().
  std::shared_ptr<client::InProcess> in_process_;  // the service is in this process; first of all
  client::SessionSpec spec_;
  std::string id_;
  std::string name_;
  std::string dir_;
  int32_t rank_ = 0;
  int32_t attempt_ = 0;
  std::chrono::nanoseconds row_wait_{0};  // how long a full ring may hold a row up

  std::atomic<uint64_t> session_id_{0};
  std::atomic<uint64_t> unlogged_rows_{0};
  uint64_t unlogged_before_fork_ = 0;  // between prepare and after
  std::atomic<const shm::ServiceWords*> service_words_{nullptr};
  std::atomic<shm::ProducerWords*> producer_words_{nullptr};
  std::atomic<uint64_t> done_checkpoint_{0};  // the agreed step that was answered with true
  client::AlertLimits alert_limits_;
  std::atomic<bool> is_exit_watched_{false};     // a flag by itself, it publishes nothing
  std::atomic<int64_t> exit_status_{INT64_MIN};  // INT64_MIN: the process has not ended
  std::atomic<uint8_t> finish_signal_{0};        // 0: none
  alignas(64) std::atomic<uint64_t> next_step_{0};

  // Held while a finish is under way, so that two threads do not write the last records at once.
  // Taken before mutex_.  Not held over fork(), which would have to wait for the finish: the child
  // begins with a new one.
  std::mutex finish_mutex_;
  mutable client::HeldMutex mutex_;
  std::shared_ptr<client::Session> session_;                 // guarded by mutex_
  std::map<std::vector<std::string>, size_t> row_ordinals_;  // guarded by mutex_
  Error error_;                                              // guarded by mutex_
  bool is_child_ = false;                      // guarded: a fork that has not attached yet
  int64_t next_attach_ms_ = 0;                 // guarded: when it tries again; coarse clock
  std::chrono::milliseconds attach_pause_{0};  // guarded: before that
  client::ThreadRing* last_ring_ = nullptr;    // guarded; what a closed run asks through
  bool is_finished_ = false;                   // guarded
  FinishReport report_;                        // guarded; valid when is_finished_
  std::optional<FinishReport> kept_report_;    // guarded; by keep_report()
  mutable std::atomic<bool> has_spoken_{false};
};

}  // namespace ringlog::detail

namespace ringlog::client {
// `ringlog exec` attaches under it beside the program it runs.
using record::kExecWorker;
}  // namespace ringlog::client
