#include "daemon/stream_mux.h"

#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/names.h"
#include "daemon/sinks/sink.h"
#include "shm/live_page.h"

#include <fcntl.h>
#include <ringlog/version.h>
#include <unistd.h>

#include <algorithm>

namespace ringlog::service {

namespace {

Status check_spec(const RunSpec& spec) {
  if (Status s = check_root(spec.root); !s) return s;
  if (Status s = check_project(spec.project); !s) return s;
  if (Status s = check_run_id(spec.run_id); !s) return s;
  if (spec.sinks.size() > kSinksPerRunMax) {
    return Error{Code::kTooLarge, "sinks: " + std::to_string(spec.sinks.size()) + " are given, " +
                                      std::to_string(kSinksPerRunMax) + " are allowed"};
  }
  for (const std::string& sink : spec.sinks) {
    if (Status s = check_sink(sink); !s) return s;
  }
  return Done{};
}

RunInfo place_of(const std::string& root, const std::string& project, const std::string& run_id) {
  std::string dir = root;
  while (dir.size() > 1 && dir.back() == '/') dir.pop_back();
  return {run_id, "", project, dir + "/" + project + "/" + run_id};
}

}  // namespace

void StreamMux::inform_init(RunSpec spec, Peer peer, Reply<Attached> reply) {
  // Before a run is made for nobody.
  if (peer.has_left()) return reply(unheard_error(peer));
  if (spec.run_id.empty()) spec.run_id = new_run_id();
  if (Status s = check_spec(spec); !s) return reply(s.take_error());
  with_run(place_of(spec.root, spec.project, spec.run_id), Turn::kLast,
           [this, spec, peer = std::move(peer), reply = std::move(reply)](Result<Run*> run) {
             if (!run) return reply(run.take_error());
             Stream& stream = *(*run)->stream;
             RunSpec shown = spec;
             for (std::string& sink : shown.sinks) sink = without_credentials(sink);
             // Written down, they would be sent to by whoever opens the run next.
             if (spec.mode == "offline") shown.sinks.clear();
             stream.board.describe(shown);
             if (spec.work_tree.starts_with('/')) {
               parts_.diffs.keep(spec.work_tree, (*run)->info.dir);
             }
             if (spec.is_synced) {
               stream.is_every_write_synced.store(true, std::memory_order_relaxed);
             }
             if (spec.mode != "offline") parts_.network.add((*run)->stream, spec.sinks);
             note_unsent(**run);
             join(**run, spec.producer, spec.host, peer, std::exchange((*run)->notice, ""), reply);
           });
}

void StreamMux::sync(const RunSpec& spec, const std::shared_ptr<SyncClient>& client,
                     const Reply<std::vector<RunStatus>>& reply) {
  if (Status s = check_spec(spec); !s) return reply(s.take_error());
  if (spec.sinks.empty()) return reply(Error{Code::kInvalidArgument, "sync: no sink is named"});
  const RunInfo info = place_of(spec.root, spec.project, spec.run_id);
  if (!runs_.contains(info.dir) && ::access((info.dir + "/store").c_str(), F_OK) != 0) {
    return reply(Error{Code::kNotFound, "there is no run " + info.dir});
  }
  const std::weak_ptr<SyncClient> wanted = client;
  with_run(info, Turn::kLast, [this, spec, wanted, reply](Result<Run*> run) {
    if (!run) return reply(run.take_error());
    const auto asking = wanted.lock();
    if (!asking) return;  // it went away while the store was opened
    (*run)->sync_clients.insert(asking->id);
    log().info("run {}: forwarded to {} sinks by request", (*run)->info.run_id, spec.sinks.size());
    const std::string dir = (*run)->info.dir;
    auto is_done = std::make_shared<bool>(false);
    const auto go_on = [this, dir, spec, id = asking->id, is_done, reply] {
      const auto found = runs_.find(dir);
      if (std::exchange(*is_done, true) || found == runs_.end()) return;
      if (!found->second->sync_clients.contains(id)) return;
      parts_.network.borrow(found->second->stream, spec.sinks, id);
      collect({dir}, reply);
    };
    parts_.loop.after(kQueryWaitMs, go_on);
    barrier({dir}, go_on);
  });
}

void StreamMux::end_sync(const std::string& dir, const SyncClient& client) {
  const auto found = runs_.find(dir);
  if (found == runs_.end() || found->second->sync_clients.erase(client.id) == 0) return;
  Run& run = *found->second;
  parts_.network.give_back(run.stream, client.id);
  if (!run.members.empty() || !run.sync_clients.empty()) return;
  // Nobody is coming whom it should linger for, and the next one of many waits for its place.
  run.empty_since_ms = parts_.clock.monotonic_ms() - kStreamLingerMs;
  ask_close(run);
}

void StreamMux::end_syncs(const SyncClient& client) {
  std::vector<std::string> dirs;
  for (const auto& [dir, run] : runs_) {
    if (run->sync_clients.contains(client.id)) dirs.push_back(dir);
  }
  for (const std::string& dir : dirs) end_sync(dir, client);
}

void StreamMux::attach(const RunSpec& spec, Peer peer, Reply<Attached> reply) {
  if (Status s = check_spec(spec); !s) return reply(s.take_error());
  const RunInfo info = place_of(spec.root, spec.project, spec.run_id);
  // A child joins what its parent made; it never makes a run.
  if (!runs_.contains(info.dir) && ::access((info.dir + "/store").c_str(), F_OK) != 0) {
    return reply(Error{Code::kNotFound, "there is no run " + info.dir + " to join"});
  }
  with_run(info, Turn::kLast,
           [this, spec, peer = std::move(peer), reply = std::move(reply)](Result<Run*> run) {
             if (!run) return reply(run.take_error());
             std::string host;
             const RunBoard& board = (*run)->stream->board;
             if (const auto parent = board.producer(spec.producer.parent_producer)) {
               host = parent->host;
             }
             join(**run, spec.producer, host, peer, std::exchange((*run)->notice, ""), reply);
           });
}

void StreamMux::inform_start(const std::string& run_id, const std::vector<std::string>& uuids,
                             const Reply<Done>& reply) {
  for (const std::string& uuid : uuids) {
    const auto segment = segments_.find(uuid);
    if (segment == segments_.end()) continue;
    runs_.at(segment->second.first)->members.at(segment->second.second).asked_through.reset();
  }
  // Of several runs of one id any will do: it only says that the first process is ready.
  const bool is_known = std::any_of(runs_.begin(), runs_.end(), [&](const auto& run) {
    return run.second->info.run_id == run_id && run.second->state != State::kClosing;
  });
  if (is_known) return reply(Done{});
  reply(Error{Code::kNotFound, "run " + run_id + " is not open in the service"});
}

Result<StreamMux::Run*> StreamMux::find_run(const RunName& name) {
  Run* found = nullptr;
  for (const auto& [dir, run] : runs_) {
    const bool is_it = name.dir.empty() ? run->info.run_id == name.run_id : dir == name.dir;
    if (!is_it || run->state == State::kClosing) continue;
    if (found != nullptr) {
      return Error{Code::kInvalidArgument, name.text() + " can be the one in " + found->info.dir +
                                               " and the one in " + dir};
    }
    found = run.get();
  }
  if (found != nullptr) return found;
  return Error{Code::kNotFound, name.text() + " is not open in the service"};
}

void StreamMux::with_known_run(const RunName& name, const WithRun& then) {
  auto run = find_run(name);
  if (!run || (*run)->state == State::kOpen) return then(std::move(run));
  (*run)->waiting.push_back(then);
}

void StreamMux::with_run(const RunInfo& info, Turn turn, WithRun then) {
  // Or its process would be given up for lost, with the large records that its rows refer to.
  if (turn == Turn::kLast && !runs_.contains(info.dir)) parts_.take_over();
  std::unique_ptr<Run>& run = runs_[info.dir];
  if (run && run->state == State::kOpen) {
    run->empty_since_ms = 0;
    return then(run.get());
  }
  if (run) {
    run->waiting.insert(turn == Turn::kFirst ? run->waiting.begin() : run->waiting.end(),
                        std::move(then));
    return;
  }
  if (runs_.size() > kRunsOpenMax) {
    runs_.erase(info.dir);
    return then(Error{Code::kTooLarge, std::to_string(kRunsOpenMax) + " runs are open already"});
  }
  run = std::make_unique<Run>();
  run->info = info;
  run->waiting.push_back(std::move(then));
  start_opening(*run);
}

void StreamMux::start_opening(Run& run) {
  run.state = State::kOpening;
  run.behind.reset();
  run.is_to_be_noted = false;
  parts_.opener.open(run.info.dir, [this, dir = run.info.dir](Opener::Opened opened) {
    // A Result cannot be copied into a std::function with its store, so it goes in a box.
    auto box = std::make_shared<Opener::Opened>(std::move(opened));
    parts_.loop.post([this, dir, box] { on_opened(dir, std::move(*box)); });
  });
}

void StreamMux::on_opened(const std::string& dir, Opener::Opened opened) {
  Run& run = *runs_.at(dir);
  const auto waiting = std::exchange(run.waiting, {});
  if (!opened) {
    const Error error = std::move(opened.take_error()).in("run " + run.info.run_id);
    log().error("{}", error.message);
    runs_.erase(dir);
    parts_.backlog.fail(dir, error.message);
    for (const auto& then : waiting) then(error);
    return;
  }
  for (const std::string& line : (*opened)->store->repaired()) {
    log().warn("run {}: the store was repaired: {}", run.info.run_id, line);
    run.notice = "the store of the run was damaged and has been repaired; `ringlog doctor " +
                 run.info.run_id + "` says what was lost";
  }
  if (const std::string& weakness = (*opened)->store->lock_weakness(); !weakness.empty()) {
    const std::string notice = weakness +
                               ", so a file in its store says who writes the run; let "
                               "only one machine do so";
    log().warn("run {} in {}: {}", run.info.run_id, dir, notice);
    run.notice += (run.notice.empty() ? "the run: " : "; ") + notice;
  }
  run.stream = make_stream(run, **opened);
  run.state = State::kOpen;
  if (!run.is_from_backlog) parts_.backlog.leave(dir);
  parts_.drain.post([&drain = parts_.drain, stream = run.stream] { drain.add(stream); });
  for (const store::RunFile& file : (*opened)->files) {
    parts_.files.watch(run.stream, file.producer, nullptr, file.facts);
  }
  adopt_orphans(dir);
  for (const auto& then : waiting) then(&run);
  parts_.monitor.add(run.stream);
  if (const auto sinks = run.stream->board.meta().sinks; !sinks.empty()) {
    parts_.network.add(run.stream, sinks);
    note_unsent(run);
  }
  check_lost(run);
  for (const store::RunFile& file : (*opened)->files) {
    const auto producer = run.stream->board.producer(file.producer);
    if (!producer || producer->state != "running") end_files(run, file.producer);
  }
}

std::shared_ptr<Stream> StreamMux::make_stream(const Run& run, OpenedRun& opened) {
  store::RunMeta meta;
  if (opened.meta) {
    meta = *opened.meta;
  } else {
    meta.run_id = run.info.run_id;
    meta.project = run.info.project;
    meta.created_ns = parts_.clock.realtime_ns();
    meta.version = RINGLOG_VERSION;
    meta.name = run.info.run_id;
  }
  IntakeEvents events;
  const std::string dir = run.info.dir;
  events.settled = [this, dir](uint32_t producer) {
    parts_.loop.post([this, dir, producer] { on_settled(dir, producer); });
  };
  events.retired = [this, dir](uint32_t producer) {
    parts_.loop.post([this, dir, producer] { on_retired(dir, producer); });
  };
  events.poisoned = [this, dir](const std::shared_ptr<Port>& port, uint32_t ring,
                                uint64_t position) { quarantine(port, ring, position, dir); };
  auto stream =
      std::make_shared<Stream>(run.info, std::move(opened.store), meta, opened.producers,
                               std::move(opened.key_sets), parts_.large, parts_.clock, events);
  stream->intake.set_ends(std::move(opened.ends));
  stream->intake.reserve_key_sets(opened.last_ids.key_set);
  stream->board.reserve(opened.last_ids.producer);
  if (!parts_.runtime_dir.empty()) {
    stream->intake.start_summary(
        shm::live_page_path(parts_.runtime_dir, run.info.run_id, run.info.dir),
        std::move(opened.facts));
  }
  return stream;
}

// On the drain thread: keeps the bytes that were not understood, for `ringlog doctor`.
void StreamMux::quarantine(const std::shared_ptr<Port>& port, uint32_t ring, uint64_t position,
                           const std::string& dir) {
  parts_.writer.post([port, ring, position, dir] {
    const shm::RingGeometry& geometry = port->segment->header().rings[ring];
    const uint64_t index = position & (geometry.capacity - 1);
    const uint64_t size =
        std::min<uint64_t>(kQuarantineBytesMax, geometry.capacity + shm::kRecordSizeMax - index);
    std::vector<std::byte> bytes(size);
    const std::string path = dir + "/files/quarantine-" + std::to_string(port->producer) + "-" +
                             std::to_string(ring) + ".bin";
    Status kept = shm::read_at(port->segment->fd(), bytes, geometry.data_offset + index, "segment");
    if (kept) {
      auto file = shm::open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW);
      kept = file ? shm::write_all(file->get(), bytes, path) : Status(file.take_error());
    }
    if (!kept) log().warn("quarantine: {}", kept.error().message);
  });
}

void StreamMux::keep_house() {
  const int64_t now = parts_.clock.monotonic_ms();
  for (const auto& [dir, run] : runs_) {
    if (run->state != State::kOpen || run->is_close_asked) continue;
    if (is_unwatched(*run)) note_dead_members(*run);
    if (!run->members.empty() || !run->sync_clients.empty()) {
      run->empty_since_ms = 0;
      if (std::exchange(run->is_from_backlog, false)) parts_.backlog.leave(dir);
    } else if (run->empty_since_ms == 0) {
      run->empty_since_ms = now;
    } else if (now - run->empty_since_ms >= kStreamLingerMs) {
      ask_close(*run);
    }
  }
  open_due_unsent();
  if (orphans_.empty() || now < next_orphan_try_ms_) return;
  for (FoundSegment& found : std::exchange(orphans_, {})) adopt(std::move(found));
}

// A run is closed when its sinks have everything, or cannot be reached, and the intake has nothing.
void StreamMux::ask_close(Run& run) {
  if (run.state != State::kOpen || std::exchange(run.is_close_asked, true)) return;
  parts_.monitor.flush(run.stream.get());
  parts_.network.view(run.stream, [this, stream = run.stream](Network::View sinks) {
    parts_.drain.post([this, stream, sinks = std::move(sinks)] {
      const bool is_quiet = stream->intake.is_empty();
      parts_.loop.post(
          [this, dir = stream->info.dir, sinks, is_quiet] { start_closing(dir, sinks, is_quiet); });
    });
  });
}

void StreamMux::start_closing(const std::string& dir, const Network::View& sinks, bool is_quiet) {
  const auto found = runs_.find(dir);
  if (found == runs_.end() || found->second->state != State::kOpen) return;
  Run& run = *found->second;
  run.is_close_asked = false;
  const bool is_crowded = runs_.size() > kRunsUnhurriedMax;
  if (!is_quiet || !(sinks.is_idle || sinks.is_stuck || is_crowded)) return;
  // Somebody may have come meanwhile.
  if (!run.members.empty() || !run.sync_clients.empty()) return;
  if (run.empty_since_ms == 0 || parts_.files.is_busy(dir)) return;
  run.state = State::kClosing;
  run.is_to_be_noted = !sinks.is_idle || sinks.has_refused;
  if (!sinks.is_idle) run.behind = behind_of(run, sinks);
  run.behind_next_ms = sinks.next_try_ms;
  parts_.monitor.remove(*run.stream);
  parts_.drain.post([this, dir, stream = run.stream] {
    // Somebody may have come since it was asked: a query, or the last word on a file.
    if (!stream->intake.is_empty()) return parts_.loop.post([this, dir] { keep_open(dir); });
    parts_.drain.remove(stream);
    stream->intake.end_summary();
    parts_.network.remove(stream, [this, dir, stream] {
      parts_.writer.post([this, dir, stream] {
        parts_.tidier.close(parts_.writer.release(*stream),
                            [this, dir] { parts_.loop.post([this, dir] { on_closed(dir); }); });
      });
    });
  });
}

// It was not empty after all.
void StreamMux::keep_open(const std::string& dir) {
  Run& run = *runs_.at(dir);
  run.state = State::kOpen;
  run.behind.reset();
  run.is_to_be_noted = false;
  parts_.monitor.add(run.stream);
  if (run.waiting.empty()) return;
  if (std::exchange(run.is_from_backlog, false)) parts_.backlog.leave(dir);
  run.empty_since_ms = 0;
  for (const auto& then : std::exchange(run.waiting, {})) then(&run);
}

void StreamMux::on_closed(const std::string& dir) {
  Run& run = *runs_.at(dir);
  run.stream.reset();
  parts_.files.forget(dir);
  // Also of a run that is wanted again: it may not come open.
  if (run.behind) {
    parts_.backlog.park(*std::move(run.behind), run.behind_next_ms);
  } else {
    parts_.backlog.settle(dir);
  }
  if (!run.is_to_be_noted) {
    parts_.network.post([&notes = parts_.notes, dir] { notes.remove(dir); });
  }
  if (run.waiting.empty()) {
    runs_.erase(dir);
    return;
  }
  run.empty_since_ms = 0;
  run.is_from_backlog = false;
  start_opening(run);
}

}  // namespace ringlog::service
