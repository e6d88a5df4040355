// StreamMux: the processes attached to runs, to their end, and those that an earlier service had.

#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/process_watch.h"
#include "daemon/stream_mux.h"

#include <algorithm>

namespace ringlog::service {

namespace {

RunInfo run_of(const shm::SegmentHeader& header) {
  const std::string root(shm::header_text(header.root));
  const std::string project(shm::header_text(header.project));
  const std::string run_id(shm::header_text(header.run_id));
  return {run_id, "", project, root + "/" + project + "/" + run_id};
}

}  // namespace

void StreamMux::add_member(Run& run, std::shared_ptr<Port> port, const store::ProducerState& state,
                           std::shared_ptr<shm::Fd> pidfd, std::function<void()> stored) {
  // Where there is one already, it was taken for dead without its segment.
  Member& member = run.members[state.producer];
  member.is_dead = member.is_settled = false;
  member.port = port;
  member.pid = state.pid;
  member.pid_start = state.pid_start;
  member.watch.reset();  // before its descriptor goes
  member.pidfd = std::move(pidfd);
  run.empty_since_ms = 0;
  if (!port) return;
  segments_[port->uuid] = {run.info.dir, state.producer};
  parts_.drain.post([stream = run.stream, port = std::move(port), stored = std::move(stored)] {
    stream->intake.add(port, stored);
  });
}

void StreamMux::watch(Run& run, uint32_t producer) {
  Member& member = run.members.at(producer);
  const auto dead = [this, dir = run.info.dir, producer] { on_dead(dir, producer); };
  if (!member.pidfd || is_dead(member.pidfd->get())) {
    parts_.loop.post(dead);
    return;
  }
  member.watch = parts_.loop.when_readable(member.pidfd->get(), dead);
}

void StreamMux::note_dead_members(Run& run) {
  std::vector<uint32_t> dead;
  for (const auto& [producer, member] : run.members) {
    if (!member.is_dead && !member.is_settled && member.pidfd && is_dead(member.pidfd->get()))
      dead.push_back(producer);
  }
  for (const uint32_t producer : dead) on_dead(run.info.dir, producer);
}

void StreamMux::on_dead(const std::string& dir, uint32_t producer) {
  const auto run = runs_.find(dir);
  if (run == runs_.end()) return;
  const auto member = run->second->members.find(producer);
  if (member == run->second->members.end() || member->second.is_dead) return;
  member->second.is_dead = true;
  member->second.dead_since_ms = parts_.clock.monotonic_ms();
  member->second.watch.reset();
  RunBoard& board = run->second->stream->board;
  if (member->second.is_settled) {
    const auto state = board.producer(producer);
    if (!state || !state->is_end_implied) return retire(dir, producer);
    // Not settled before it is known what the process exited with.
    member->second.is_settled = false;
  }
  board.mark_gone(producer);
  look_for_exit(dir, producer);
}

// How it ended is known at once from its own exit word, or once its parent has reaped it.
void StreamMux::look_for_exit(const std::string& dir, uint32_t producer) {
  const auto run = runs_.find(dir);
  if (run == runs_.end()) return;
  const auto found = run->second->members.find(producer);
  if (found == run->second->members.end()) return;
  const Member& member = found->second;
  EndFacts facts;
  if (member.port) {
    const shm::ProducerWords& words = member.port->segment->producer();
    // ORDER exit: the code is valid once the state says so.
    if (words.exit_state.load(std::memory_order_acquire) == 1) {
      facts.exit_word = words.exit_code.load(std::memory_order_relaxed);
    }
  }
  if (member.pidfd) facts.kernel = exit_info(member.pidfd->get(), member.pid, member.pid_start);
  const int64_t waited = parts_.clock.monotonic_ms() - member.dead_since_ms;
  if (!member.pidfd || facts.exit_word || facts.kernel || waited >= kExitInfoWaitMs) {
    return end_member(*run->second, producer, facts);
  }
  parts_.loop.after(kExitInfoRetryMs, [this, dir, producer] { look_for_exit(dir, producer); });
}

void StreamMux::end_member(Run& run, uint32_t producer, const EndFacts& facts) {
  const std::shared_ptr<Stream> stream = run.stream;
  if (run.members.at(producer).port) {
    parts_.drain.post([stream, producer, facts] { stream->intake.end(producer, facts); });
    return;
  }
  auto state = stream->board.producer(producer);
  if (!state) return;
  parts_.drain.post([stream, state = std::move(*state), facts, this, dir = run.info.dir] {
    stream->intake.end_without_segment(state, facts);
    parts_.loop.post([this, dir, producer = state.producer] {
      // Its segment was found meanwhile: its end comes from there.
      if (has_port(dir, producer)) return;
      on_settled(dir, producer);
      on_retired(dir, producer);
    });
  });
}

bool StreamMux::has_port(const std::string& dir, uint32_t producer) const {
  const auto run = runs_.find(dir);
  if (run == runs_.end()) return false;
  const auto member = run->second->members.find(producer);
  return member != run->second->members.end() && member->second.port;
}

void StreamMux::on_settled(const std::string& dir, uint32_t producer) {
  const auto found = runs_.find(dir);
  if (found == runs_.end()) return;
  Run& run = *found->second;
  const auto member = run.members.find(producer);
  if (member == run.members.end()) return;
  const auto state = run.stream->board.producer(producer);
  if (state && !member->second.is_settled) {
    log().info("run {}: rank {} attempt {} worker {} (pid {}) {}{}{}", run.info.run_id, state->rank,
               state->attempt, state->worker, state->pid, state->state,
               state->signal != 0 ? ", signal " + std::to_string(state->signal) : "",
               state->cause.empty() ? "" : ": " + state->cause);
  }
  member->second.is_settled = true;
  end_files(run, producer);
  if (!member->second.is_dead) {
    parts_.loop.after(kRetireMs, [this, dir, producer] { retire(dir, producer); });
  }
  answer_settled(run);
}

void StreamMux::end_files(const Run& run, uint32_t producer) {
  parts_.files.end(run.stream, producer, [this, stream = run.stream, producer](const KeptFiles&) {
    parts_.drain.post([stream, producer] { stream->intake.release_files(producer); });
  });
}

bool StreamMux::is_unwatched(const Run& run) {
  return std::any_of(run.members.begin(), run.members.end(), [](const auto& member) {
    return !member.second.watch && !member.second.is_dead && member.second.pidfd;
  });
}

bool StreamMux::has_unsettled_dead(const Run& run) {
  return std::any_of(run.members.begin(), run.members.end(), [](const auto& member) {
    return member.second.is_dead && !member.second.is_settled;
  });
}

void StreamMux::when_settled(Run& run, std::function<void()> done) {
  if (!has_unsettled_dead(run)) return done();
  run.settle_waiters.push_back(std::move(done));
}

void StreamMux::answer_settled(Run& run) {
  if (has_unsettled_dead(run)) return;
  for (const auto& done : std::exchange(run.settle_waiters, {})) done();
}

void StreamMux::retire(const std::string& dir, uint32_t producer) {
  const auto run = runs_.find(dir);
  if (run == runs_.end() || !run->second->members.contains(producer)) return;
  parts_.drain.post([stream = run->second->stream, producer] { stream->intake.retire(producer); });
}

// A process that starts its next run has the report of the one before.
void StreamMux::retire_finished(int32_t pid) {
  for (const auto& [dir, run] : runs_) {
    for (const auto& [producer, member] : run->members) {
      if (member.is_settled && member.pid == pid) retire(dir, producer);
    }
  }
}

void StreamMux::on_retired(const std::string& dir, uint32_t producer) {
  const auto run = runs_.find(dir);
  if (run == runs_.end()) return;
  const auto member = run->second->members.find(producer);
  if (member == run->second->members.end()) return;
  if (member->second.port) {
    segments_.erase(member->second.port->uuid);
    parts_.large.forget(member->second.port->uuid);
  }
  run->second->members.erase(member);
  // It may have died a moment ago, too late for its end to be stored.
  answer_settled(*run->second);
  if (retire_waiter_ && !has_settled()) std::exchange(retire_waiter_, nullptr)();
}

bool StreamMux::has_settled() const {
  return std::any_of(runs_.begin(), runs_.end(), [](const auto& run) {
    const auto& members = run.second->members;
    return std::any_of(members.begin(), members.end(),
                       [](const auto& member) { return member.second.is_settled; });
  });
}

void StreamMux::leave_process(std::function<void()> done) {
  auto box = std::make_shared<std::function<void()>>(std::move(done));
  const auto once = [box] {
    if (*box) std::exchange(*box, nullptr)();
  };
  parts_.loop.after(kShutdownWaitMs, once);
  barrier(open_dirs(), [this, once] {
    for (const auto& [dir, run] : runs_) {
      for (const auto& [producer, member] : run->members) {
        if (member.is_settled) retire(dir, producer);
      }
    }
    if (!has_settled()) return once();
    retire_waiter_ = once;
  });
}

void StreamMux::finish(const std::string& uuid, int32_t exit_code, Reply<Done> reply) {
  const auto segment = segments_.find(uuid);
  if (segment == segments_.end()) {
    return reply(Error{Code::kNotFound, "this connection has no producer to finish"});
  }
  Run& run = *runs_.at(segment->second.first);
  const uint32_t producer = segment->second.second;
  Member& member = run.members.at(producer);
  member.watch.reset();
  // Settled like a dead one; the reply comes when it is stored.
  member.is_dead = true;
  end_member(run, producer, EndFacts{.exit_word = exit_code});
  when_settled(run, [reply = std::move(reply)] { reply(Done{}); });
}

void StreamMux::resume(const std::string& segment, shm::Fd memfd, const Peer& peer,
                       const Reply<std::string>& reply) {
  if (!segment.empty()) {
    const std::string uuid = segment.substr(0, segment.find('.'));
    if (segments_.contains(uuid) || adopting_.contains(uuid)) return reply(uuid);
    return reply(Error{Code::kNotFound, "the service has no segment " + segment});
  }
  auto found = read_segment(std::move(memfd), "");
  if (!found) return reply(found.take_error());
  if (found->header.pid != peer.pid) {
    return reply(Error{Code::kInvalidArgument, "the segment belongs to another process"});
  }
  const std::string uuid(shm::header_text(found->header.uuid));
  if (!has_segment(uuid)) adopt(std::move(*found));
  reply(uuid);
}

void StreamMux::adopt(FoundSegment found) {
  const std::string uuid(shm::header_text(found.header.uuid));
  adopting_.insert(uuid);
  auto box = std::make_shared<FoundSegment>(std::move(found));
  // Before those who come anew: it has its number and its rank already.
  with_run(run_of(box->header), Turn::kFirst, [this, box, uuid](Result<Run*> run) {
    adopting_.erase(uuid);
    const Status adopted = run ? adopt_into(**run, *box) : Status(run.take_error());
    if (adopted) return;
    // Only what is damaged is of no use; the rest may belong to a process that lives.
    if (run && adopted.error().code == Code::kCorrupt) {
      return move_aside(box->path, adopted.error().message);
    }
    keep_orphan(std::move(*box), adopted.error());
  });
}

void StreamMux::keep_orphan(FoundSegment found, const Error& why) {
  log().error("segment {} waits: {}", shm::header_text(found.header.uuid), why.message);
  next_orphan_try_ms_ = parts_.clock.monotonic_ms() + kOrphanRetryMs;
  orphans_.push_back(std::move(found));
}

// Those whose run could not be opened so far.
void StreamMux::adopt_orphans(const std::string& dir) {
  for (FoundSegment& orphan : std::exchange(orphans_, {})) {
    if (run_of(orphan.header).dir == dir) {
      adopt(std::move(orphan));
    } else {
      orphans_.push_back(std::move(orphan));
    }
  }
}

// Of orphans that may still come into the run.
uint32_t StreamMux::last_orphan(const std::string& dir) const {
  uint32_t last = 0;
  for (const FoundSegment& orphan : orphans_) {
    if (run_of(orphan.header).dir == dir) last = std::max(last, orphan.header.producer_id);
  }
  return last;
}

bool StreamMux::has_segment(const std::string& uuid) const {
  return segments_.contains(uuid) || adopting_.contains(uuid) ||
         std::any_of(orphans_.begin(), orphans_.end(), [&](const FoundSegment& orphan) {
           return shm::header_text(orphan.header.uuid) == uuid;
         });
}

Error StreamMux::somebody_else(const Run& run, const store::ProducerState& state) {
  return {Code::kCorrupt, "producer " + std::to_string(state.producer) + " of run " +
                              run.info.run_id + " is somebody else"};
}

// It has not ended after all, or what it had to say at its end is only found now.
void StreamMux::revoke_end(store::ProducerState& state) {
  state.state = "running";
  state.exit_code = 0;
  state.signal = 0;
  state.cause.clear();
  state.ended_ns = 0;
  state.is_end_unread = false;
}

Status StreamMux::adopt_into(Run& run, FoundSegment& found) {
  // Read by two, each row would be stored twice.
  if (segments_.contains(std::string(shm::header_text(found.header.uuid)))) return Done{};
  RunBoard& board = run.stream->board;
  store::ProducerState state = state_of(found.header);
  bool is_ended = false;
  for (const store::ProducerState& stored : board.producers()) {
    if (stored.segment != state.segment) continue;
    is_ended = stored.state != "running";
    state = stored;
  }
  if (is_of_earlier_boot(found.header)) return adopt_unread(run, found, std::move(state));
  auto pidfd = open_pidfd(state.pid, state.pid_start);
  // Whether it lives is not known, so it is not ended.
  if (!pidfd && pidfd.error().code != Code::kNotFound) return pidfd.take_error();
  // The service before this one was torn down under it; it lives and goes on.
  const bool is_torn_down = state.state == "killed" && state.signal == 0 && pidfd;
  if (is_torn_down || state.is_end_unread) {
    is_ended = false;
    revoke_end(state);
  }
  state.is_end_implied = is_ended && state.has_said_implied_end();
  if (!board.adopt(state)) return somebody_else(run, state);
  auto port = open_port(std::move(found.fd), found.path, state);
  if (!port) return port.take_error();
  shm::ServiceWords& words = (*port)->segment->service();
  words.epoch.store(parts_.epoch, std::memory_order_relaxed);
  if (words.stop_requested.load(std::memory_order_relaxed) != 0) board.request_stop();
  if (state.worker == 0) join_agreement(rank_ports(run), **port);
  fail_consumed_requests(*(*port)->segment, (*port)->state.rings);
  (*port)->notes.has_files = parts_.files.has(run.info.dir, state.producer);
  parts_.files.introduce(run.info.dir, *port);
  log().info("run {}: goes on with segment {} of pid {}", run.info.run_id, (*port)->uuid,
             state.pid);
  add_member(run, *port, state, pidfd ? std::make_shared<shm::Fd>(std::move(*pidfd)) : nullptr, {});
  // The service before may have ended before it could answer.
  run.members.at(state.producer).asked_through = std::make_shared<PeerSocket>();
  watch(run, state.producer);
  if (is_ended) {
    run.members.at(state.producer).is_settled = true;
    parts_.loop.after(kRetireMs, [this, dir = run.info.dir, producer = state.producer] {
      retire(dir, producer);
    });
  }
  return Done{};
}

}  // namespace ringlog::service
