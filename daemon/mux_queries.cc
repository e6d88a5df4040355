// StreamMux: requests about runs as a whole.

#include "daemon/limits.h"
#include "daemon/stream_mux.h"

#include <algorithm>

namespace ringlog::service {

namespace {

uint64_t stored_rows(const store::ProducerState& state) {
  uint64_t rows = 0;
  for (const store::RingState& ring : state.rings) rows += ring.stored;
  return rows;
}

uint64_t dropped_rows(const store::ProducerState& state) {
  uint64_t rows = 0;
  for (const store::RingState& ring : state.rings) rows += ring.dropped;
  return rows;
}

ProducerStatus status_of(const store::ProducerState& state) {
  ProducerStatus status;
  status.producer = state.producer;
  status.rank = state.rank;
  status.attempt = state.attempt;
  status.worker = state.worker;
  status.pid = state.pid;
  status.state = state.state;
  status.stored = stored_rows(state);
  status.dropped = dropped_rows(state);
  for (size_t ring = 0; ring < state.rings.size(); ++ring) {
    const std::string& why = state.rings[ring].poisoned;
    if (!why.empty()) status.poisoned = "ring " + std::to_string(ring) + ": " + why;
  }
  return status;
}

// Of the board, with what the drain thread knows better.
RunStatus status_of(const Stream& stream, std::vector<ProducerStatus> live) {
  RunStatus status;
  status.run_id = stream.info.run_id;
  status.project = stream.info.project;
  status.dir = stream.info.dir;
  status.state = stream.board.meta().state;
  for (const store::ProducerState& state : stream.board.producers()) {
    const auto better = std::find_if(live.begin(), live.end(), [&](const ProducerStatus& p) {
      return p.producer == state.producer;
    });
    status.producers.push_back(better == live.end() ? status_of(state) : std::move(*better));
  }
  return status;
}

uint64_t all_stored(const RunStatus& run) {
  uint64_t rows = 0;
  for (const ProducerStatus& producer : run.producers) rows += producer.stored;
  return rows;
}

// Counts down; runs `done` at zero.
struct Countdown {
  size_t left;
  std::function<void()> done;
  void operator()() {
    if (--left == 0) done();
  }
};

}  // namespace

void StreamMux::put_blob(const RunName& name, store::BlobId id, uint64_t size, shm::Fd fd,
                         const Peer& peer, Reply<Done> reply) {
  if (size > shm::kBlobSizeMax) {
    return reply(Error{Code::kTooLarge, "a record of " + std::to_string(size) + " bytes; " +
                                            std::to_string(shm::kBlobSizeMax) + " are allowed"});
  }
  auto file = std::make_shared<shm::Fd>(std::move(fd));
  with_known_run(name, [this, name, id, size, file, pid = peer.pid,
                        reply = std::move(reply)](Result<Run*> run) {
    if (!run) return reply(run.take_error());
    const auto& members = (*run)->members;
    const auto member = members.find(id.producer);
    if (member != members.end() && member->second.pid == pid) {
      return store_blob((*run)->stream, id, size, file, reply);
    }
    reply(Error{Code::kNotFound, name.text() + " has no producer " + std::to_string(id.producer) +
                                     " of process " + std::to_string(pid)});
  });
}

void StreamMux::store_blob(const std::shared_ptr<Stream>& stream, store::BlobId id, uint64_t size,
                           const std::shared_ptr<shm::Fd>& file, const Reply<Done>& reply) {
  parts_.writer.post([this, stream, id, size, file, reply] {
    const auto put = [&]() -> Status {
      auto actual = shm::file_size(file->get(), "record");
      if (!actual) return actual.take_error();
      if (*actual != size) return Error{Code::kInvalidArgument, "a record of another size"};
      std::string bytes(size, '\0');
      if (Status s =
              shm::read_at(file->get(), std::as_writable_bytes(std::span(bytes)), 0, "record");
          !s) {
        return s;
      }
      return stream->store->put_blob(id, bytes);
    };
    parts_.loop.post([reply, result = put()] { reply(result); });
  });
}

Result<std::string> StreamMux::fetch_reply(std::vector<std::string> uuids, uint32_t slot,
                                           uint32_t word, const Peer& peer) {
  for (const auto& [uuid, place] : segments_) {
    const auto run = runs_.find(place.first);
    if (run == runs_.end()) continue;
    const auto member = run->second->members.find(place.second);
    if (member != run->second->members.end() && member->second.pid == peer.pid) {
      uuids.push_back(uuid);
    }
  }
  for (const std::string& uuid : uuids) {
    if (auto bytes = parts_.large.fetch(uuid, slot, word)) return std::move(*bytes);
  }
  return Error{Code::kNotFound, "the service has no reply for slot " + std::to_string(slot)};
}

void StreamMux::request_stop(const RunName& name, const Reply<Done>& reply) {
  with_known_run(name, [reply](Result<Run*> run) {
    if (!run) return reply(run.take_error());
    stop_members(**run);
    reply(Done{});
  });
}

void StreamMux::stop_members(Run& run) {
  run.stream->board.request_stop();
  for (const auto& [producer, member] : run.members) {
    if (!member.port) continue;
    member.port->segment->service().stop_requested.store(1, std::memory_order_relaxed);
  }
  if (const auto port = speaker_of(run)) {
    port->tell("somebody asked run " + run.info.run_id + " to stop");
  }
}

// Whose terminal a sentence for the whole run appears on: that of the lowest rank that is there;
// only where no rank is, that of a worker or of `ringlog exec`.
std::shared_ptr<Port> StreamMux::speaker_of(const Run& run) {
  std::shared_ptr<Port> speaker;
  const auto place = [](const Port& port) {
    const auto& header = port.segment->header();
    return std::pair(header.worker, header.rank);
  };
  for (const auto& [producer, member] : run.members) {
    if (!member.port || member.is_dead || member.is_settled) continue;
    if (!speaker || place(*member.port) < place(*speaker)) speaker = member.port;
  }
  return speaker;
}

// The ranks' own processes that are there: forked workers do not train.
Ports StreamMux::rank_ports(const Run& run) {
  Ports ports;
  for (const auto& [producer, member] : run.members) {
    if (!member.port || member.is_dead) continue;
    if (member.port->segment->header().worker == 0) ports.push_back(member.port);
  }
  return ports;
}

void StreamMux::burst(const RunName& name, int64_t interval_ms, int64_t time_ms,
                      const Reply<Done>& reply) {
  if (interval_ms < kBurstIntervalMinMs || time_ms < interval_ms || time_ms > kBurstTimeMaxMs) {
    return reply(Error{Code::kInvalidArgument,
                       "a burst of samples each " + std::to_string(interval_ms) + " ms for " +
                           std::to_string(time_ms) + " ms: at least " +
                           std::to_string(kBurstIntervalMinMs) + " ms, for at most " +
                           std::to_string(kBurstTimeMaxMs / 1000) + " s"});
  }
  with_known_run(name, [this, interval_ms, time_ms, reply](Result<Run*> run) {
    if (!run) return reply(run.take_error());
    parts_.monitor.burst(*(*run)->stream, interval_ms, time_ms);
    reply(Done{});
  });
}

void StreamMux::agree(const RunName& name, Wish wish, const Reply<Agreed>& reply) {
  with_known_run(name, [this, wish, reply](Result<Run*> run) {
    if (!run) return reply(run.take_error());
    const Ports ports = rank_ports(**run);
    // By now: whoever only looks at should_stop() need not wait.
    if (wish == Wish::kStop) stop_members(**run);
    parts_.loop.after(kAgreeSampleMs, [this, dir = (*run)->info.dir, wish, reply, ports,
                                       before = told_steps(ports)] {
      const auto found = runs_.find(dir);
      if (found == runs_.end() || found->second->state != State::kOpen) {
        return reply(Error{Code::kNotFound, "the run in " + dir + " was closed meanwhile"});
      }
      // Who came meanwhile takes part; the pace is that of those who were there.
      Ports all = ports;
      for (const auto& port : rank_ports(*found->second)) {
        if (std::find(all.begin(), all.end(), port) == all.end()) all.push_back(port);
      }
      uint64_t step_min = 0;
      for (const auto& port : all) {
        const auto state = found->second->stream->board.producer(port->producer);
        if (state) step_min = std::max(step_min, state->next_step);
      }
      reply(service::agree(all, before, step_min, wish));
    });
  });
}

std::vector<std::string> StreamMux::open_dirs() const {
  std::vector<std::string> dirs;
  for (const auto& [dir, run] : runs_) {
    if (run->state == State::kOpen) dirs.push_back(dir);
  }
  return dirs;
}

void StreamMux::query(const RunName& name, bool with_barrier, Reply<std::vector<RunStatus>> reply) {
  if (name.run_id.empty() && name.dir.empty()) return query_open(open_dirs(), with_barrier, reply);
  if (const RunStatus* unsent = with_barrier ? nullptr : find_unsent(name.dir)) {
    return reply(std::vector<RunStatus>{*unsent});
  }
  with_known_run(name, [this, with_barrier, reply = std::move(reply)](Result<Run*> run) {
    if (!run) return reply(run.take_error());
    query_open({(*run)->info.dir}, with_barrier, reply);
  });
}

void StreamMux::query_open(const std::vector<std::string>& dirs, bool with_barrier,
                           const Reply<std::vector<RunStatus>>& reply) {
  if (!with_barrier) return collect(dirs, reply);
  auto is_done = std::make_shared<bool>(false);
  const auto go_on = [this, dirs, reply, is_done] {
    if (!std::exchange(*is_done, true)) collect(dirs, reply);
  };
  parts_.loop.after(kQueryWaitMs, go_on);
  barrier(dirs, go_on);
}

void StreamMux::barrier(const std::vector<std::string>& dirs, std::function<void()> done) {
  auto countdown = std::make_shared<Countdown>(Countdown{dirs.size() + 1, std::move(done)});
  for (const std::string& dir : dirs) {
    Run& run = *runs_.at(dir);
    note_dead_members(run);
    parts_.monitor.flush(run.stream.get());
    when_settled(run, [this, stream = run.stream, countdown] {
      parts_.drain.post([this, stream, countdown] {
        stream->intake.barrier(
            [this, countdown] { parts_.loop.post([countdown] { (*countdown)(); }); });
      });
    });
  }
  (*countdown)();
}

std::vector<std::shared_ptr<Stream>> StreamMux::open_streams(
    const std::vector<std::string>& dirs) const {
  std::vector<std::shared_ptr<Stream>> streams;
  for (const std::string& dir : dirs) {
    const auto run = runs_.find(dir);
    if (run != runs_.end() && run->second->state == State::kOpen) {
      streams.push_back(run->second->stream);
    }
  }
  return streams;
}

void StreamMux::collect(const std::vector<std::string>& dirs,
                        const Reply<std::vector<RunStatus>>& reply) {
  const std::vector<std::shared_ptr<Stream>> streams = open_streams(dirs);
  auto runs = std::make_shared<std::vector<RunStatus>>();
  const auto finish = [this, runs, reply] {
    parts_.loop.post([runs, reply] { reply(std::move(*runs)); });
  };
  parts_.drain.post([this, streams, runs, finish] {
    for (const auto& stream : streams) {
      std::vector<ProducerStatus> live;
      stream->intake.describe(live);
      runs->push_back(status_of(*stream, std::move(live)));
    }
    // The network thread runs these in order, so the last one finds all the others done.
    for (size_t i = 0; i < streams.size(); ++i) {
      parts_.network.view(streams[i], [runs, i](Network::View view) {
        RunStatus& run = (*runs)[i];
        run.sinks = std::move(view.sinks);
        for (SinkStatus& sink : run.sinks) {
          const uint64_t stored = all_stored(run);
          const uint64_t done = sink.sent_rows + sink.left_out_rows;
          sink.lag_rows = stored > done ? stored - done : 0;
        }
      });
    }
    parts_.network.post(finish);
  });
}

void StreamMux::teardown(Reply<Done> reply) {
  // A process that lives on may log on, with the next service, and must find its segment.
  const EndFacts alive{.forced = End{"killed", 0, 0, "the service was torn down"},
                       .is_leaving = false};
  EndFacts dead = alive;
  dead.is_leaving = true;
  auto countdown = std::make_shared<Countdown>(
      Countdown{1, [this, reply = std::move(reply)] { drain_all([reply] { reply(Done{}); }); }});
  for (const std::string& dir : open_dirs()) {
    Run& run = *runs_.at(dir);
    if (run.members.empty()) continue;
    ++countdown->left;
    std::vector<std::pair<uint32_t, const EndFacts*>> ends;
    for (auto& [producer, member] : run.members) {
      const bool is_alive = member.port && member.pidfd && !is_dead(member.pidfd->get());
      member.is_dead = true;
      member.watch.reset();
      ends.emplace_back(producer, is_alive ? &alive : &dead);
    }
    for (const auto& [producer, facts] : ends) end_member(run, producer, *facts);
    when_settled(run, [countdown] { (*countdown)(); });
  }
  parts_.loop.after(kShutdownWaitMs, [countdown] {
    if (countdown->left > 0) std::exchange(countdown->done, [] {})();
  });
  (*countdown)();
}

void StreamMux::drain_all(std::function<void()> done) {
  auto box = std::make_shared<std::function<void()>>(std::move(done));
  const auto once = [box] {
    if (*box) std::exchange(*box, nullptr)();
  };
  parts_.loop.after(kShutdownWaitMs, once);
  parts_.monitor.flush();
  // What became of files is stored as well.
  parts_.files.when_idle([this, once] { parts_.loop.post([this, once] { drain_runs(once); }); });
}

void StreamMux::drain_runs(const std::function<void()>& done) {
  const std::vector<std::string> dirs = open_dirs();
  auto countdown = std::make_shared<Countdown>(Countdown{dirs.size() + 1, done});
  for (const std::string& dir : dirs) {
    parts_.drain.post([this, stream = runs_.at(dir)->stream, countdown] {
      stream->intake.barrier(
          [this, countdown] { parts_.loop.post([countdown] { (*countdown)(); }); });
    });
  }
  (*countdown)();
}

}  // namespace ringlog::service
