// RunCore: the end of a run: logging is turned off, the last records are written, the ledger is
// waited for.

#include "client/footer.h"
#include "client/pending_reply.h"
#include "client/run_core.h"
#include "shm/failpoint.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace ringlog::detail {

using client::Session;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

namespace {

// The last values are a courtesy: a slow disk must not keep the program from ending.
constexpr milliseconds kFooterWait{500};

// What the segment's words say, when the service does not.
FinishReport known_report(const Session& session) {
  const shm::ServiceWords& words = session.service_words();
  return {.attempted = session.attempted_rows(),
          .stored = words.stored_rows.load(std::memory_order_relaxed),
          .dropped = session.dropped_rows(),
          .sent = words.sent_rows.load(std::memory_order_relaxed)};
}

// The answer to deliver_finish() on its way to the program: the run keeps what it says, because a
// service that has answered soon reads the segment no more.
class ReportForTheRun final : public PendingReply {
 public:
  ReportForTheRun(std::shared_ptr<RunCore> run, std::unique_ptr<PendingReply> reply)
      : run_(std::move(run)), reply_(std::move(reply)) {}

  Result<std::string> wait(nanoseconds timeout,
                           const std::function<void(const Progress&)>& on_progress) override {
    auto bytes = reply_->wait(timeout, on_progress);
    if (!bytes) return bytes;
    if (const auto report = parse_reply<FinishReport>(*bytes)) run_->keep_report(*report);
    return bytes;
  }

 private:
  const std::shared_ptr<RunCore> run_;
  const std::unique_ptr<PendingReply> reply_;
};

Error retired_error() {
  return {Code::kNotFound, "the service has settled this process and is done with it"};
}

}  // namespace

void RunCore::keep_report(const FinishReport& report) noexcept {
  const std::lock_guard lock(mutex_);
  kept_report_ = report;
}

// Turns logging off for all threads, then writes what has to come last.  False: there is no
// session.
bool RunCore::close(int exit_code, bool is_implied, int64_t deadline_ns) noexcept {
  const std::shared_ptr<Session> open = session();
  client::ThreadRing* const mine = open ? find_ring() : nullptr;
  if (mine == nullptr) return false;
  // From here on log() is a counted no-op, so the counts below are final.
  session_id_.store(0, std::memory_order_relaxed);
  open->quiesce(deadline_ns);
  open->for_each_quiet_ring(
      [&](client::ThreadRing& r) { settle_pending(*open, r, record_wait_until(deadline_ns)); });
  // Another one where ours is shared and somebody stands still inside of it.
  client::ThreadRing* const ring = open->quiet_ring(mine);
  if (ring != nullptr) {
    settle_unlogged(*ring);
    write_finish(*open, *ring, exit_code, is_implied, deadline_ns);
  } else {
    open->count_lost_record();
  }
  const std::lock_guard lock(mutex_);
  last_ring_ = ring;
  return true;
}

void RunCore::write_finish(Session& session, client::ThreadRing& ring, int exit_code,
                           bool is_implied, int64_t deadline_ns) noexcept {
  RINGLOG_FAILPOINT("before_finish");
  try {
    const record::Words last = record::encode_finish(
        exit_code, is_implied, shm::realtime_ns(), finish_signal_.load(std::memory_order_relaxed));
    if (!write_record(session, ring, last, 0, ring.writer.next_seq(),
                      record_wait_until(deadline_ns))) {
      session.count_lost_record();
    }
  } catch (const std::exception& e) {
    session.count_lost_record();
    refuse("finish", e);
  }
  RINGLOG_FAILPOINT("after_finish");
}

Result<std::unique_ptr<PendingReply>> RunCore::start_finish(int exit_code) noexcept {
  const std::lock_guard lock(finish_mutex_);
  const int64_t deadline = shm::deadline_ns(shm::monotonic_ns(), kFinishWait);
  close(exit_code, false, deadline);
  auto pending = ask_at_end(record::RequestKind::kFinish, deadline);
  if (!pending) return pending;
  try {
    std::unique_ptr<PendingReply> kept =
        std::make_unique<ReportForTheRun>(shared_from_this(), std::move(*pending));
    return kept;
  } catch (const std::exception&) {
    return Error{Code::kIo, "no memory"};
  }
}

// Requires finish_mutex_ and a closed session.
Result<std::unique_ptr<PendingReply>> RunCore::ask_at_end(record::RequestKind kind,
                                                          int64_t deadline_ns) noexcept {
  std::shared_ptr<Session> open;
  client::ThreadRing* ring = nullptr;
  {
    const std::lock_guard lock(mutex_);
    open = session_;
    ring = last_ring_;
  }
  if (!open) return Error{Code::kDisabled, "this run does not log"};
  if (open->is_retired()) return retired_error();
  if (ring == nullptr) return Error{Code::kBackpressure, "another thread is still inside log()"};
  return ask(open, *ring, {.kind = kind}, record_wait_until(deadline_ns));
}

FinishReport RunCore::finish(int exit_code, nanoseconds timeout, bool is_implied) noexcept {
  const int64_t deadline = shm::deadline_ns(shm::monotonic_ns(), timeout);
  const std::lock_guard finish_lock(finish_mutex_);
  close(exit_code, is_implied, deadline);
  std::shared_ptr<Session> open;
  std::optional<FinishReport> kept;
  {
    const std::lock_guard lock(mutex_);
    is_child_ = false;
    if (is_finished_) return report_;
    open = session_;
    kept = kept_report_;
  }
  if (!open) {
    const uint64_t rows = unlogged_rows_.load(std::memory_order_relaxed);
    return {.attempted = rows, .stored = 0, .dropped = rows, .sent = 0};
  }
  FinishReport report;
  try {
    report = kept ? *kept : collect_report(*open, deadline);
  } catch (const std::exception& e) {
    refuse("finish", e);
    report = known_report(*open);
  }
  say_end(report, deadline);
  const std::lock_guard lock(mutex_);
  is_finished_ = true;
  report_ = report;
  return report_;
}

FinishReport RunCore::collect_report(Session& session, int64_t deadline_ns) {
  Error why;
  for (nanoseconds left(0);;) {
    left = nanoseconds(deadline_ns - shm::monotonic_ns());
    auto pending = ask_at_end(record::RequestKind::kFinish, deadline_ns);
    if (pending) {
      auto report = Handle<FinishReport>(std::move(*pending)).wait(left);
      if (report) return *report;
      why = report.take_error();
    } else {
      why = pending.take_error();
    }
    if (session.is_retired()) break;
    // kCorrupt: nobody reads the ring any more, so there is nobody to ask.
    if (why.code == Code::kTimeout || why.code == Code::kCorrupt) break;
    if (shm::monotonic_ns() >= deadline_ns) break;
    // The service died under the request: see that there is one again, then ask it.
    do {
      session.check_service();
      ::usleep(20'000);
    } while (!session.is_service_there() && shm::monotonic_ns() < deadline_ns);
  }
  const FinishReport known = known_report(session);
  // Everything was settled, and then the service had nothing more to do here.
  if (session.is_retired() && known.stored + known.dropped >= known.attempted) return known;
  const uint64_t bytes = session.service_words().file_bytes_left.load(std::memory_order_relaxed);
  refuse(std::move(why).in(bytes == 0 ? "finish: rows are committed but not known to be stored"
                                      : "finish: the service still copies " +
                                            std::to_string(bytes) + " bytes of files"));
  return known;
}

std::string RunCore::fetch_footer(int64_t deadline_ns) noexcept {
  auto pending = ask_at_end(record::RequestKind::kFooter, deadline_ns);
  if (!pending) return "";
  const nanoseconds left(deadline_ns - shm::monotonic_ns());
  auto reply = (*pending)->wait(std::min<nanoseconds>(kFooterWait, left), {});
  return reply ? client::footer_text(*reply, client::is_utf8_locale()) : "";
}

void RunCore::say_end(const FinishReport& report, int64_t deadline_ns) noexcept {
  if (!is_talkative()) return;
  try {
    std::string text = "run " + id_ + ": " + std::to_string(report.stored) + " rows stored";
    if (report.dropped > 0) text += ", " + std::to_string(report.dropped) + " dropped";
    if (report.files > 0) text += ", " + std::to_string(report.files) + " files kept";
    if (report.files_failed > 0) {
      text += ", " + std::to_string(report.files_failed) + " files not kept";
    }
    const uint64_t known = report.stored + report.dropped;
    if (report.attempted > known) {
      text += ", " + std::to_string(report.attempted - known) + " not yet known to be stored";
    }
    say(text + (spec_.settings.world_size > 1 ? " of rank 0" : "") + "\n" +
        (known < report.attempted ? "" : fetch_footer(deadline_ns)) +
        "  look at it: ringlog show " + id_);
  } catch (const std::exception&) {
    // As above.
  }
}

}  // namespace ringlog::detail
