// StreamMux: producers of whom nobody can read what they committed last.

#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/process_watch.h"
#include "daemon/stream_mux.h"

#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

namespace ringlog::service {

bool StreamMux::is_of_earlier_boot(const shm::SegmentHeader& header) {
  const std::string now = shm::boot_id();
  const std::string_view then = shm::header_text(header.boot_id);
  return !now.empty() && !then.empty() && then != now;
}

// Producers that the store calls running and of which nobody has found a segment: their memory went
// with the machine, or it is a memfd whose process may still hand it back.  Whether one lives may
// not be known for a while.
void StreamMux::check_lost(Run& run) {
  bool is_unsure = false;
  for (const store::ProducerState& state : run.stream->board.producers()) {
    if (state.state != "running" || run.members.contains(state.producer)) continue;
    if (has_segment(state.segment) || unread_.contains(state.segment)) continue;
    auto pidfd = open_pidfd(state.pid, state.pid_start);
    if (!pidfd && pidfd.error().code != Code::kNotFound) {
      is_unsure = true;
      continue;
    }
    add_member(run, nullptr, state, pidfd ? std::make_shared<shm::Fd>(std::move(*pidfd)) : nullptr,
               {});
    watch(run, state.producer);
  }
  if (!is_unsure) return;
  parts_.loop.after(kOrphanRetryMs, [this, dir = run.info.dir] {
    const auto again = runs_.find(dir);
    if (again != runs_.end() && again->second->state == State::kOpen) check_lost(*again->second);
  });
}

// A file outlived its machine.  Its pages went to the disk in any order when that went down, some
// of them maybe never: the tail may stand behind rows of which a part is old, and nothing would
// tell.
Status StreamMux::adopt_unread(Run& run, const FoundSegment& found, store::ProducerState state) {
  // After a teardown its process logged on.
  const bool was_torn_down = state.state == "killed" && state.signal == 0;
  if (was_torn_down) revoke_end(state);
  if (!run.stream->board.adopt(state)) return somebody_else(run, state);
  log().warn("run {}: segment {} is of before the machine restarted, and is not read",
             run.info.run_id, state.segment);
  if (state.state == "running") {
    add_member(run, nullptr, state, nullptr, {});
    on_dead(run.info.dir, state.producer);
  }
  // Not before the store has its end: until then the file may be all that tells of it.
  parts_.drain.post([this, stream = run.stream, path = found.path, producer = state.producer] {
    stream->intake.forget_blobs(producer);
    stream->intake.barrier(
        [this, path] { parts_.writer.post([path] { ::unlink(path.c_str()); }); });
  });
  return Done{};
}

}  // namespace ringlog::service
