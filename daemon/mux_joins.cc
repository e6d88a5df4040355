// StreamMux: how a process joins a run.

#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/process_watch.h"
#include "daemon/stream_mux.h"

#include <unistd.h>

#include <utility>

namespace ringlog::service {

namespace {

// Makes the segment and maps it; `client_fd` is the client's descriptor of it.
Result<std::shared_ptr<Port>> make_port(const StreamMux::Parts& parts, const RunInfo& info,
                                        const std::string& root, const ProducerSpec& spec,
                                        const store::ProducerState& state, Attached& attached) {
  shm::SegmentSpec segment;
  segment.run_id = info.run_id;
  segment.project = info.project;
  segment.root = root;
  segment.producer_id = state.producer;
  segment.rank = state.rank;
  segment.attempt = state.attempt;
  segment.worker = state.worker;
  segment.pid = state.pid;
  segment.pid_start = state.pid_start;
  if (spec.ring_bytes != 0) segment.first_ring_bytes = spec.ring_bytes;
  auto created = shm::create_segment(parts.segments, segment);
  if (!created) return created.take_error();
  if (!created->notice.empty()) log().warn("run {}: {}", info.run_id, created->notice);
  auto client_fd = shm::duplicate(created->fd.get());
  const std::string path = created->path;
  if (!client_fd) {
    if (!path.empty()) ::unlink(path.c_str());
    return client_fd.take_error();
  }
  auto port = open_port(std::move(created->fd), path, state);
  if (!port) {
    if (!path.empty()) ::unlink(path.c_str());
    return port;
  }
  attached.segment = path.substr(path.rfind('/') + 1);
  attached.segment_fd = std::move(*client_fd);
  attached.notice = created->notice;
  return port;
}

// The words are another process's; what they say decides only whether it keeps its place.
bool is_used(const Port& port) {
  for (uint32_t ring = 0; ring < port.readers.size(); ++ring) {
    const shm::RingProducer& words = port.segment->ring_producer(ring);
    if (words.in_use.load(std::memory_order_relaxed) != 0) return true;
    if (words.tail.load(std::memory_order_relaxed) != 0) return true;
  }
  return false;
}

// The folder of all runs, of which `info.dir` is two levels below.
std::string root_of(const RunInfo& info) {
  const size_t tail = info.project.size() + info.run_id.size() + 2;
  return info.dir.substr(0, info.dir.size() - tail);
}

}  // namespace

Error unheard_error(const Peer& peer) {
  return {Code::kNotFound,
          "process " + std::to_string(peer.pid) + " does not wait for its answer any more"};
}

void StreamMux::join(Run& run, const ProducerSpec& spec, const std::string& host, const Peer& peer,
                     const std::string& notice, const Reply<Attached>& reply) {
  if (peer.has_left()) return reply(unheard_error(peer));
  if (!peer.pidfd) {
    // Asked again for the reason; it was tried when the connection came.
    auto again = open_pidfd(peer.pid, peer.pid_start);
    return reply(Error{Code::kIo, "process " + std::to_string(peer.pid) + " cannot be watched" +
                                      (again ? "; try again" : ": " + again.error().message)});
  }
  // A watch of its own for each producer, though one process may have several.
  auto pidfd = shm::duplicate(peer.pidfd->get());
  if (!pidfd) return reply(pidfd.take_error());
  retire_finished(peer.pid);
  // Whoever died a moment ago leaves its rank free.
  note_dead_members(run);
  let_go_unheard(run, peer);
  RunBoard& board = run.stream->board;
  auto state = board.join(spec, peer, host, parts_.clock.realtime_ns(), last_orphan(run.info.dir));
  if (!state) return reply(state.take_error());
  auto attached = std::make_shared<Attached>();
  state->next_step = state->worker == 0 ? board.next_step(state->rank) : 0;
  auto port = make_port(parts_, run.info, root_of(run.info), spec, *state, *attached);
  if (!port) {
    board.forget(state->producer);
    return reply(std::move(port.take_error()).in("segment"));
  }
  shm::ServiceWords& words = (*port)->segment->service();
  words.epoch.store(parts_.epoch, std::memory_order_relaxed);
  words.stop_requested.store(board.is_stop_requested() ? 1 : 0, std::memory_order_relaxed);
  if (state->worker == 0) join_agreement(rank_ports(run), **port);
  attached->run_id = run.info.run_id;
  attached->dir = run.info.dir;
  attached->name = board.meta().name;
  attached->producer = state->producer;
  attached->rank = state->rank;
  attached->attempt = state->attempt;
  attached->worker = state->worker;
  attached->uuid = (*port)->uuid;
  attached->next_step = state->next_step;
  if (!notice.empty()) attached->notice += (attached->notice.empty() ? "" : "; ") + notice;
  board.update((*port)->state, parts_.clock.realtime_ns());
  log().info("run {}: pid {} joins as rank {} attempt {} worker {}", run.info.run_id, peer.pid,
             state->rank, state->attempt, state->worker);
  reply_when_stored(run, *port, attached, std::make_shared<shm::Fd>(std::move(*pidfd)), reply);
  run.members.at(state->producer).asked_through = peer.socket;
  watch(run, state->producer);
}

// Those whose answer never reached the process that asks again.  It would be beside itself, a
// worker of a rank that nobody has taken.
void StreamMux::let_go_unheard(Run& run, const Peer& peer) {
  for (auto& [producer, member] : run.members) {
    if (member.pid != peer.pid || member.pid_start != peer.pid_start || member.is_dead) continue;
    if (!member.asked_through || !member.asked_through->is_closed()) continue;
    if (!member.port || is_used(*member.port)) continue;
    log().info("run {}: pid {} asks again, producer {} is let go", run.info.run_id, peer.pid,
               producer);
    member.watch.reset();
    member.is_dead = true;
    run.stream->board.mark_gone(producer);
    end_member(run, producer, {.forced = End{"finished", 0, 0, "its process did not hear of it"}});
  }
}

// The producer is known to the store before the client hears of it, so that a service that dies now
// leaves a successor who knows it too.
void StreamMux::reply_when_stored(Run& run, const std::shared_ptr<Port>& port,
                                  const std::shared_ptr<Attached>& attached,
                                  std::shared_ptr<shm::Fd> pidfd, const Reply<Attached>& reply) {
  auto is_replied = std::make_shared<bool>(false);
  const auto reply_once = [is_replied, attached, reply] {
    if (std::exchange(*is_replied, true)) return;
    reply(std::move(*attached));
  };
  add_member(run, port, port->state, std::move(pidfd),
             [this, reply_once] { parts_.loop.post(reply_once); });
  parts_.loop.after(kAttachStoredWaitMs, [reply_once, is_replied, attached, stream = run.stream] {
    if (*is_replied) return;
    if (!attached->notice.empty()) attached->notice += "; ";
    attached->notice += "the store of the run is slow or cannot be written; rows wait in memory";
    if (const std::string why = stream->board.store_error(); !why.empty()) {
      attached->notice += ": " + why;
    }
    reply_once();
  });
}

}  // namespace ringlog::service
