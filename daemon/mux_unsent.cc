// StreamMux: runs that have ended and whose sinks are behind.

#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/stream_mux.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>

namespace ringlog::service {

namespace {

// The folder `levels` above.
std::string above(std::string dir, int levels) {
  for (; levels > 0; --levels) dir.resize(std::min(dir.rfind('/'), dir.size()));
  return dir;
}

std::string last_name(const std::string& dir) { return dir.substr(dir.rfind('/') + 1); }

std::string joined(const std::vector<std::string>& urls) {
  std::string all;
  for (const std::string& url : urls) all += (all.empty() ? "" : ", ") + url;
  return all;
}

}  // namespace

// Before its sinks get anything, so that whatever dies, somebody knows that there is more to send.
void StreamMux::note_unsent(const Run& run) {
  UnsentRun note{run.info.dir, run.stream->board.meta().sinks};
  if (note.sinks.empty()) return;
  parts_.network.post([&notes = parts_.notes, note = std::move(note)] {
    const Status written = notes.write(note);
    if (written) return;
    log().warn(
        "run {}: if this service ends before its sinks have everything, the next one will "
        "not know: {}",
        note.dir, written.error().message);
  });
}

void StreamMux::add_unsent(const UnsentRun& run) {
  if (runs_.contains(run.dir) || parts_.backlog.has(run.dir)) return;
  Behind behind;
  behind.info = {last_name(run.dir), "", last_name(above(run.dir, 1)), run.dir};
  behind.place = joined(run.sinks);
  parts_.backlog.add(std::move(behind));
}

void StreamMux::open_due_unsent() {
  while (const auto info = parts_.backlog.next()) open_unsent(*info);
}

void StreamMux::open_unsent(const RunInfo& info) {
  const std::string& dir = info.dir;
  if (const auto run = runs_.find(dir); run != runs_.end()) {
    // What is being opened or closed ends in another state, which then says what becomes of it.
    if (run->second->state == State::kOpen) parts_.backlog.leave(dir);
    return;
  }
  if (::access((dir + "/store").c_str(), F_OK) != 0) {
    const int why = errno;
    // Without the folder of all runs it may be a disk that is not mounted.
    if (why != ENOENT || ::access(above(dir, 2).c_str(), F_OK) != 0) {
      return parts_.backlog.fail(dir, shm::errno_error(dir, why).message);
    }
    log().info("{} is gone, and with it what was not sent of it", dir);
    parts_.backlog.leave(dir);
    return parts_.network.post([&notes = parts_.notes, dir] { notes.remove(dir); });
  }
  with_run(info, Turn::kLast, [this, dir](Result<Run*> run) {
    if (!run) return parts_.backlog.fail(dir, run.error().message);
    // Nobody is coming whom it should linger for.
    (*run)->empty_since_ms = parts_.clock.monotonic_ms() - kStreamLingerMs;
  });
  if (const auto run = runs_.find(dir); run != runs_.end()) run->second->is_from_backlog = true;
}

Behind StreamMux::behind_of(const Run& run, const Network::View& sinks) {
  Behind behind{.info = run.info, .status = {}, .place = sinks.behind};
  const RunBoard& board = run.stream->board;
  behind.status.run_id = run.info.run_id;
  behind.status.project = run.info.project;
  behind.status.dir = run.info.dir;
  behind.status.state = board.meta().state;
  behind.status.sinks = sinks.sinks;
  uint64_t stored = 0;
  for (const store::ProducerState& producer : board.producers()) {
    for (const store::RingState& ring : producer.rings) stored += ring.stored;
  }
  for (SinkStatus& sink : behind.status.sinks) {
    const uint64_t done = sink.sent_rows + sink.left_out_rows;
    sink.lag_rows = stored > done ? stored - done : 0;
  }
  return behind;
}

const RunStatus* StreamMux::find_unsent(const std::string& dir) const {
  const auto run = runs_.find(dir);
  if (run == runs_.end()) return parts_.backlog.find(dir);
  if (run->second->state == State::kOpen) return nullptr;
  return run->second->behind ? &run->second->behind->status : parts_.backlog.find(dir);
}

bool StreamMux::is_idle() const {
  const bool is_wanted = std::any_of(
      runs_.begin(), runs_.end(), [](const auto& item) { return !item.second->is_from_backlog; });
  if (is_wanted || !orphans_.empty()) return false;
  if (runs_.empty() && parts_.backlog.is_empty()) return true;
  return parts_.clock.monotonic_ms() - parts_.backlog.progress_ms() >= parts_.unsent_stay_ms;
}

}  // namespace ringlog::service
