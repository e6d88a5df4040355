#include "daemon/run_board.h"

#include "daemon/process_watch.h"
#include "record/limits.h"

#include <algorithm>

namespace ringlog::service {

RunBoard::RunBoard(store::RunMeta meta, const std::vector<store::ProducerState>& producers)
    : meta_(std::move(meta)) {
  for (const store::ProducerState& state : producers) entries_[state.producer] = {state, false};
}

bool RunBoard::is_live(const Entry& entry) const {
  return entry.state.state == "running" && !entry.is_gone;
}

bool RunBoard::is_taken(int32_t rank, int32_t attempt, uint32_t worker) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& item) {
    const store::ProducerState& s = item.second.state;
    return s.rank == rank && s.attempt == attempt && s.worker == worker;
  });
}

int32_t RunBoard::free_rank() const {
  for (int32_t rank = 0;; ++rank) {
    const bool used = std::any_of(entries_.begin(), entries_.end(), [&](const auto& item) {
      const store::ProducerState& state = item.second.state;
      return state.rank == rank && state.worker == 0 && is_live(item.second);
    });
    if (!used) return rank;
  }
}

int32_t RunBoard::next_attempt(int32_t rank) const {
  int32_t next = 0;
  for (const auto& [id, entry] : entries_) {
    const store::ProducerState& s = entry.state;
    // Nobody was given one above the limit; a store or a segment may hold any.
    if (s.rank == rank && s.worker == 0 && s.attempt <= record::kAttemptMax) {
      next = std::max(next, s.attempt + 1);
    }
  }
  return next;
}

namespace {

// Whether the process is there at this moment: what an earlier service has stored, and what nobody
// has noticed yet, does not count.
bool is_running(const store::ProducerState& state) {
  const auto pidfd = open_pidfd(state.pid, state.pid_start);
  return pidfd && !is_dead(pidfd->get());
}

}  // namespace

const store::ProducerState* RunBoard::live_rank(int32_t rank, int32_t attempt) const {
  const store::ProducerState* newest = nullptr;
  for (const auto& [id, entry] : entries_) {
    const store::ProducerState& s = entry.state;
    if (s.rank != rank || s.worker != 0 || !is_live(entry)) continue;
    if ((attempt >= 0 && s.attempt != attempt) || !is_running(s)) continue;
    if (newest == nullptr || s.attempt > newest->attempt) newest = &s;
  }
  return newest;
}

void RunBoard::choose(const ProducerSpec& spec, store::ProducerState& state) const {
  // A program that a rank started has its environment, but does not take its place: a data loader
  // that was spawned and not forked, a tool.
  const store::ProducerState* const alive =
      spec.worker == 0 ? live_rank(spec.rank, spec.attempt) : nullptr;
  if (alive != nullptr) {
    state.rank = alive->rank;
    state.attempt = alive->attempt;
    state.worker = 1;
    while (is_taken(state.rank, state.attempt, state.worker)) ++state.worker;
    return;
  }
  state.rank = spec.rank >= 0 ? spec.rank : free_rank();
  state.attempt = spec.attempt >= 0 ? spec.attempt : next_attempt(state.rank);
  state.worker = spec.worker;
  while (is_taken(state.rank, state.attempt, state.worker)) ++state.attempt;
  state.next_step = 0;
}

Status RunBoard::choose_worker(const ProducerSpec& spec, store::ProducerState& state) const {
  const auto parent = entries_.find(spec.parent_producer);
  if (parent == entries_.end()) {
    return Error{Code::kNotFound, "run " + meta_.run_id + " has no producer " +
                                      std::to_string(spec.parent_producer) + " to be forked from"};
  }
  state.rank = parent->second.state.rank;
  state.attempt = parent->second.state.attempt;
  state.worker = std::max<uint32_t>(spec.worker, 1);
  while (is_taken(state.rank, state.attempt, state.worker)) ++state.worker;
  return Done{};
}

Result<store::ProducerState> RunBoard::join(const ProducerSpec& spec, const Peer& peer,
                                            const std::string& host, int64_t now_ns,
                                            uint32_t taken) {
  const std::lock_guard lock(mutex_);
  if (spec.rank > record::kRankMax || spec.attempt > record::kAttemptMax) {
    return Error{Code::kInvalidArgument, "rank " + std::to_string(spec.rank) + " attempt " +
                                             std::to_string(spec.attempt) + " is above the limit"};
  }
  store::ProducerState state;
  if (spec.parent_producer != 0) {
    if (Status s = choose_worker(spec, state); !s) return s.take_error();
  } else {
    choose(spec, state);
  }
  // Who asked for a stop asked those who were there; a run that is opened again goes on.
  const bool was_ended = std::none_of(entries_.begin(), entries_.end(),
                                      [&](const auto& item) { return is_live(item.second); });
  if (was_ended && !entries_.empty()) is_stop_requested_ = false;
  state.producer =
      std::max({entries_.empty() ? 0 : entries_.rbegin()->first, taken, last_reserved_}) + 1;
  state.pid = peer.pid;
  state.pid_start = peer.pid_start;
  state.host = host;
  state.state = "running";
  state.started_ns = now_ns;
  state.local_rank = spec.local_rank;
  state.world_size = spec.world_size;
  entries_[state.producer] = {state, false};
  recompute(now_ns);
  return state;
}

void RunBoard::reserve(uint32_t last) {
  const std::lock_guard lock(mutex_);
  last_reserved_ = last;
}

void RunBoard::forget(uint32_t producer) {
  const std::lock_guard lock(mutex_);
  entries_.erase(producer);
  recompute(meta_.ended_ns);
}

bool RunBoard::adopt(const store::ProducerState& state) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(state.producer);
  if (found != entries_.end() && found->second.state.segment != state.segment) return false;
  entries_[state.producer] = {state, false};
  recompute(state.started_ns);
  return true;
}

void RunBoard::mark_gone(uint32_t producer) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(producer);
  if (found != entries_.end()) found->second.is_gone = true;
}

void RunBoard::update(const store::ProducerState& state, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(state.producer);
  if (found == entries_.end()) return;
  const bool is_news = found->second.state.state != state.state;
  found->second.state = state;
  if (is_news) recompute(now_ns);
}

void RunBoard::recompute(int64_t now_ns) {
  std::vector<store::ProducerState> states;
  states.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) states.push_back(entry.state);
  const std::string state = run_state(states, is_stop_requested_);
  if (state == meta_.state) return;
  meta_.state = state;
  meta_.ended_ns = state == "running" ? 0 : now_ns;
  is_meta_changed_ = true;
}

void RunBoard::describe(const RunSpec& spec) {
  const std::lock_guard lock(mutex_);
  const store::RunMeta before = meta_;
  if (meta_.name.empty() || meta_.name == meta_.run_id) {
    if (!spec.name.empty()) meta_.name = spec.name;
  }
  if (meta_.group.empty()) meta_.group = spec.group;
  if (meta_.tags.empty()) meta_.tags = spec.tags;
  if (meta_.notes.empty()) meta_.notes = spec.notes;
  meta_.is_synced |= spec.is_synced;
  if (meta_.host.empty()) meta_.host = spec.host;
  if (meta_.monitor_ms == 0) meta_.monitor_ms = spec.monitor_ms;
  if (meta_.command.empty()) meta_.command = spec.command;
  for (const std::string& sink : spec.sinks) {
    if (std::find(meta_.sinks.begin(), meta_.sinks.end(), sink) == meta_.sinks.end()) {
      meta_.sinks.push_back(sink);
    }
  }
  if (!(meta_ == before)) is_meta_changed_ = true;
}

void RunBoard::request_stop() {
  const std::lock_guard lock(mutex_);
  is_stop_requested_ = true;
}

bool RunBoard::is_stop_requested() const {
  const std::lock_guard lock(mutex_);
  return is_stop_requested_;
}

store::RunMeta RunBoard::meta() const {
  const std::lock_guard lock(mutex_);
  return meta_;
}

std::optional<store::RunMeta> RunBoard::take_changed_meta() {
  const std::lock_guard lock(mutex_);
  if (!is_meta_changed_) return std::nullopt;
  is_meta_changed_ = false;
  return meta_;
}

std::vector<store::ProducerState> RunBoard::producers() const {
  const std::lock_guard lock(mutex_);
  std::vector<store::ProducerState> states;
  states.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) states.push_back(entry.state);
  return states;
}

std::optional<store::ProducerState> RunBoard::producer(uint32_t id) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return std::nullopt;
  return found->second.state;
}

std::vector<RunningProcess> RunBoard::running() const {
  const std::lock_guard lock(mutex_);
  std::vector<RunningProcess> processes;
  for (const auto& [id, entry] : entries_) {
    const store::ProducerState& state = entry.state;
    if (state.state != "running" || entry.is_gone) continue;
    processes.push_back({state.pid, state.pid_start, state.rank, state.local_rank});
  }
  return processes;
}

int32_t RunBoard::monitor_ms() const {
  const std::lock_guard lock(mutex_);
  return meta_.monitor_ms;
}

size_t RunBoard::running_count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<size_t>(std::count_if(entries_.begin(), entries_.end(), [](const auto& item) {
    return item.second.state.state == "running";
  }));
}

RowSums RunBoard::rows_without(std::span<const uint32_t> producers) const {
  const std::lock_guard lock(mutex_);
  RowSums sums;
  for (const auto& [id, entry] : entries_) {
    if (std::binary_search(producers.begin(), producers.end(), id)) continue;
    for (const store::RingState& ring : entry.state.rings) {
      sums.attempted += ring.stored + ring.dropped + ring.missing;
      sums.stored += ring.stored;
      sums.dropped += ring.dropped;
    }
  }
  return sums;
}

uint64_t RunBoard::next_step(int32_t rank) const {
  const std::lock_guard lock(mutex_);
  uint64_t next = 0;
  int32_t newest = -1;
  for (const auto& [id, entry] : entries_) {
    const store::ProducerState& s = entry.state;
    if (s.rank != rank || s.worker != 0 || s.next_step == 0 || s.attempt < newest) continue;
    newest = s.attempt;
    next = s.next_step;
  }
  return next;
}

void RunBoard::set_store_error(const std::string& error) {
  const std::lock_guard lock(mutex_);
  store_error_ = error;
}

std::string RunBoard::store_error() const {
  const std::lock_guard lock(mutex_);
  return store_error_;
}

std::string run_state(const std::vector<store::ProducerState>& producers, bool is_stop_requested) {
  const auto is_rank = [](const store::ProducerState& p) { return p.worker == 0; };
  const bool has_ranks = std::any_of(producers.begin(), producers.end(), is_rank);
  std::map<int32_t, const store::ProducerState*> newest;
  for (const store::ProducerState& producer : producers) {
    if (producer.state == "running") return "running";
    // Forked workers come and go as their parent likes, and a tool that looks after a program only
    // counts when the program did not log itself.
    if (has_ranks && producer.worker != 0) continue;
    const store::ProducerState*& best = newest[producer.rank];
    if (best == nullptr || producer.attempt > best->attempt) best = &producer;
  }
  const auto any = [&](const char* state) {
    return std::any_of(newest.begin(), newest.end(),
                       [&](const auto& item) { return item.second->state == state; });
  };
  for (const char* state : {"failed", "crashed", "killed"}) {
    if (any(state)) return state;
  }
  return is_stop_requested ? "stopped" : "finished";
}

}  // namespace ringlog::service
