#include "explorer.h"

#include <cstring>
#include <stdexcept>
#include <unordered_set>

#include "execution.h"

namespace ringlog::model {

namespace {

std::shared_ptr<const Link> g_trace;  // of the state being advanced

bool is_acquire(std::memory_order order) {
  return order == std::memory_order_acquire || order == std::memory_order_acq_rel;
}
bool is_release(std::memory_order order) {
  return order == std::memory_order_release || order == std::memory_order_acq_rel;
}

// The states that one operation leads to.
class Expansion {
 public:
  // `at_last`: nobody else can go on.
  Expansion(const Program& program, const State& from, size_t thread, bool at_last)
      : program_(program),
        from_(from),
        thread_(thread),
        at_last_(at_last),
        operation_(from.threads[thread].pending) {}

  std::vector<State> run() {
    if (from_.threads[thread_].status == Status::kFinished) return {};
    switch (operation_.kind) {
      case Kind::kLoad:
        return load([](uint64_t) { return true; });
      case Kind::kAwait:
        return load([this](uint64_t value) { return value >= operation_.value; });
      case Kind::kStore:
        return store();
      case Kind::kAdd:
        return add();
      case Kind::kCompareExchange:
        return compare_exchange();
      case Kind::kFence:
        next().memory.fence(thread_);
        return finish({});
      case Kind::kFutexWait:
        return futex_wait();
      case Kind::kFutexWake:
        return futex_wake();
    }
    return {};
  }

 private:
  State& next() {
    states_.push_back(from_);
    return states_.back();
  }
  size_t location(State& state) const { return location_of(operation_, state.memory); }

  // The operation of the last state made returned `outcome`: the thread goes on from there.
  std::vector<State> finish(Outcome outcome) {
    done(outcome);
    return std::move(states_);
  }
  void done(Outcome outcome) {
    State& state = states_.back();
    ThreadState& self = state.threads[thread_];
    const uint64_t before = self.last == nullptr ? thread_ : self.last->hash;
    const uint64_t hash = mix(mix(before, outcome.value), outcome.flag ? 1 : 0);
    self.last =
        std::make_shared<const Step>(Step{self.last, operation_, outcome, state.arena, hash});
    state.trace =
        std::make_shared<const Link>(Link{state.trace, thread_, operation_, outcome, false});
    g_trace = state.trace;
    advance(program_, state, thread_);
  }

  template <typename Wanted>
  std::vector<State> load(Wanted is_wanted) {
    State probe = from_;
    const size_t at = location(probe);
    for (const Choice& choice : probe.memory.readable(thread_, at)) {
      if (!is_wanted(probe.memory.value(at, choice))) continue;
      State& state = next();
      location(state);
      const uint64_t value = state.memory.load(thread_, at, choice, is_acquire(operation_.order));
      done({value, false});
    }
    return std::move(states_);
  }

  std::vector<State> store() {
    State probe = from_;
    const size_t at = location(probe);
    for (const Choice& choice : probe.memory.writable(thread_, at)) {
      State& state = next();
      location(state);
      state.memory.store(thread_, at, choice, operation_.value, is_release(operation_.order));
      done({});
    }
    return std::move(states_);
  }

  std::vector<State> add() {
    State probe = from_;
    const size_t at = location(probe);
    for (const Choice& choice : probe.memory.readable(thread_, at)) {
      if (!probe.memory.is_exchangeable(at, choice)) continue;
      const uint64_t value = probe.memory.value(at, choice);
      exchange(at, choice, value + operation_.value);
      done({value, true});
    }
    return std::move(states_);
  }

  std::vector<State> compare_exchange() {
    State probe = from_;
    const size_t at = location(probe);
    for (const Choice& choice : probe.memory.readable(thread_, at)) {
      const uint64_t value = probe.memory.value(at, choice);
      if (value == operation_.expected) {
        if (!probe.memory.is_exchangeable(at, choice)) continue;
        exchange(at, choice, operation_.value);
        done({value, true});
      } else {
        State& state = next();
        location(state);
        state.memory.load(thread_, at, choice, is_acquire(operation_.failure));
        done({value, false});
      }
    }
    return std::move(states_);
  }
  void exchange(size_t at, const Choice& choice, uint64_t value) {
    State& state = next();
    location(state);
    state.memory.exchange(thread_, at, choice, value, is_acquire(operation_.order),
                          is_release(operation_.order));
  }

  std::vector<State> futex_wait() {
    const Status status = from_.threads[thread_].status;
    if (status == Status::kWoken) {
      next();
      return finish({});
    }
    if (status == Status::kAsleep) {
      const Thread& self = program_.threads[thread_];
      const bool may_time_out = from_.threads[thread_].timeouts < self.timeouts;
      if (!may_time_out && !(at_last_ && self.times_out_at_last)) return {};
      State& state = next();
      if (may_time_out) ++state.threads[thread_].timeouts;
      return finish({0, true});
    }
    State probe = from_;
    const size_t at = location(probe);
    probe.memory.fence(thread_);
    for (const Choice& choice : probe.memory.readable(thread_, at)) {
      states_.push_back(probe);
      State& state = states_.back();
      const uint64_t value = state.memory.load(thread_, at, choice, false);
      if (value != operation_.expected) {
        done({value, false});
        continue;
      }
      state.threads[thread_].status = Status::kAsleep;
      state.trace = std::make_shared<const Link>(
          Link{state.trace, thread_, operation_, {value, false}, true});
    }
    return std::move(states_);
  }

  std::vector<State> futex_wake() {
    State& state = next();
    state.memory.fence(thread_);
    for (ThreadState& other : state.threads) {
      if (other.status == Status::kAsleep && other.pending.address == operation_.address) {
        other.status = Status::kWoken;
      }
    }
    return finish({});
  }

  const Program& program_;
  const State& from_;
  const size_t thread_;
  const bool at_last_;
  const Operation operation_;
  std::vector<State> states_;
};

uint64_t hash_of(const State& state) {
  uint64_t h = state.memory.hash(state.threads.size());
  for (const ThreadState& thread : state.threads) {
    h = mix(h, thread.last == nullptr ? 0 : thread.last->hash);
    h = mix(h, static_cast<uint64_t>(thread.status));
  }
  for (size_t at = 0; at + 8 <= state.arena->size(); at += 8) {
    h = mix(h, read_word(state.arena->data() + at, 8));
  }
  return h;
}

std::string text_of(const Program& program, const Link& link) {
  static const char* const kKinds[] = {"load",  "store",      "add",        "compare_exchange",
                                       "fence", "futex_wait", "futex_wake", "await"};
  const Operation& o = link.operation;
  std::string text = program.threads[link.thread].name + ": " + kKinds[static_cast<int>(o.kind)];
  if (o.address != nullptr) {
    const auto known = names().find(o.address);
    text +=
        " " + (known != names().end() ? known->second : "+" + std::to_string(offset_of(o.address)));
  }
  if (o.kind == Kind::kStore || o.kind == Kind::kCompareExchange || o.kind == Kind::kAdd) {
    text += " := " + std::to_string(o.value);
  }
  if (o.kind != Kind::kStore && o.kind != Kind::kFence && o.kind != Kind::kFutexWake) {
    text += " read " + std::to_string(link.outcome.value);
  }
  if (o.kind == Kind::kCompareExchange) text += link.outcome.flag ? ", done" : ", not";
  if (o.kind == Kind::kFutexWait && link.outcome.flag) text += ", timed out";
  return text + (link.is_asleep ? ", sleeps\n" : "\n");
}

std::string trace_of(const Program& program) {
  std::vector<const Link*> links;
  for (const Link* l = g_trace.get(); l != nullptr; l = l->previous.get()) links.push_back(l);
  std::string text;
  for (auto l = links.rbegin(); l != links.rend(); ++l) text += text_of(program, **l);
  return text;
}

// Leaves the arena as the execution left it, its atomics included, and lets at_end look.
void finish_execution(const Program& program, State& state) {
  std::string stuck;
  for (size_t t = 0; t < state.threads.size(); ++t) {
    if (state.threads[t].status != Status::kFinished) stuck += " " + program.threads[t].name;
  }
  if (!stuck.empty()) throw Violation{"waits for ever:" + stuck};
  leave_threads(state.arena);
  for (size_t i = 0; i < state.memory.location_count(); ++i) {
    const uint64_t value = state.memory.last_value(i);
    std::memcpy(g_arena + offset_of(locations()[i].address), &value, locations()[i].size);
  }
  program.at_end();
}

// The search: states that are still to be looked at, and all that were met.
class Search {
 public:
  explicit Search(const Program& program) : program_(program) {}

  void run() {
    open_.push_back(first_state(program_));
    while (!open_.empty()) {
      State now = std::move(open_.back());
      open_.pop_back();
      g_trace = now.trace;
      if (!expand(now, false) && !expand(now, true)) {
        ++ends_;
        g_trace = now.trace;
        finish_execution(program_, now);
      }
      if (seen_.size() > program_.states_max) throw std::logic_error("model: too many states");
    }
  }
  size_t states() const { return seen_.size(); }
  size_t ends() const { return ends_; }

 private:
  // False: no thread can go on.
  bool expand(const State& now, bool at_last) {
    bool is_any = false;
    for (size_t thread = 0; thread < now.threads.size(); ++thread) {
      for (State& next : Expansion(program_, now, thread, at_last).run()) {
        is_any = true;
        if (seen_.insert(hash_of(next)).second) open_.push_back(std::move(next));
      }
    }
    return is_any;
  }

  const Program& program_;
  std::vector<State> open_;
  std::unordered_set<uint64_t> seen_;
  size_t ends_ = 0;
};

}  // namespace

Report explore(const Program& program) {
  Report report;
  Search search(program);
  try {
    search.run();
  } catch (const Violation& violation) {
    report.violation = violation.what;
    report.trace = trace_of(program);
  }
  report.states = search.states();
  report.ends = search.ends();
  g_trace = nullptr;
  return report;
}

}  // namespace ringlog::model
