#include "execution.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <stdexcept>

namespace ringlog::model {

alignas(128) std::byte g_arena[kArenaSize];

namespace {

constexpr int64_t kLate = INT64_MAX / 2;

struct Pause {};

// What perform() works on: the thread that runs and the state it advances; no program: alone.
struct Context {
  const Program* program = nullptr;
  State* state = nullptr;
  size_t thread = 0;
  std::vector<const Step*> replay;
  size_t next = 0;
  Operation pending;
  const Bytes* restored = nullptr;
  int64_t now_ns = 0;
};
Context g_context;

std::vector<Location> g_locations;  // by index, as they were first met
SharedBytes g_initial;              // the arena after set_up
size_t g_allocated = 0;
std::map<const void*, std::string> g_names;
std::set<const void*> g_ignored;

SharedBytes snapshot() { return std::make_shared<const Bytes>(g_arena, g_arena + g_allocated); }
void restore(const SharedBytes& bytes) {
  std::copy(bytes->begin(), bytes->end(), g_arena);
  g_context.restored = bytes.get();
}

Outcome perform_alone(const Operation& operation) {
  auto* const at = static_cast<std::byte*>(const_cast<void*>(operation.address));
  const uint64_t before = at == nullptr ? 0 : read_word(at, operation.size);
  const bool is_equal = before == operation.expected;
  uint64_t after = before;
  if (operation.kind == Kind::kStore) after = operation.value;
  if (operation.kind == Kind::kAdd) after = before + operation.value;
  if (operation.kind == Kind::kCompareExchange && is_equal) after = operation.value;
  if (at != nullptr && after != before) std::memcpy(at, &after, operation.size);
  return {before, is_equal};
}

// The arena's words that `thread` changed since `before` are its plain writes.
void note_writes(State& state, size_t thread, const Bytes& before) {
  bool is_changed = false;
  for (size_t at = 0; at + 8 <= before.size(); at += 8) {
    if (std::memcmp(before.data() + at, g_arena + at, 8) == 0) continue;
    is_changed = true;
    if (!state.memory.write_plain(thread, at / 8)) {
      throw Violation{"race: " + g_context.program->threads[thread].name + " writes byte " +
                      std::to_string(at) + " of the arena"};
    }
  }
  if (is_changed) state.arena = snapshot();
}

}  // namespace

const std::vector<Location>& locations() { return g_locations; }
const std::map<const void*, std::string>& names() { return g_names; }

size_t offset_of(const void* address) {
  const auto* const at = static_cast<const std::byte*>(address);
  if (at < g_arena || at >= g_arena + g_allocated) {
    throw std::logic_error("model: a shared object outside the arena");
  }
  return static_cast<size_t>(at - g_arena);
}

uint64_t read_word(const std::byte* at, size_t size) {
  uint64_t value = 0;
  std::memcpy(&value, at, size);
  return value;
}

size_t location_of(const Operation& operation, Memory& memory) {
  const auto same = [&](const Location& l) { return l.address == operation.address; };
  auto found = std::find_if(g_locations.begin(), g_locations.end(), same);
  if (found == g_locations.end()) {
    found = g_locations.insert(found, {operation.address, operation.size});
  }
  for (size_t i = memory.location_count(); i < g_locations.size(); ++i) {
    memory.add_location(
        i, read_word(g_initial->data() + offset_of(g_locations[i].address), g_locations[i].size));
  }
  return static_cast<size_t>(found - g_locations.begin());
}

void advance(const Program& program, State& state, size_t thread) {
  ThreadState& self = state.threads[thread];
  if (self.first_arena == nullptr) self.first_arena = state.arena;
  g_context = Context{&program, &state, thread, {}, 0, {}, nullptr, 0};
  for (const Step* step = self.last.get(); step != nullptr; step = step->previous.get()) {
    g_context.replay.push_back(step);
  }
  std::reverse(g_context.replay.begin(), g_context.replay.end());
  restore(self.first_arena);
  const SharedBytes before = self.last == nullptr ? self.first_arena : self.last->arena;
  try {
    program.threads[thread].body();
    self.status = Status::kFinished;
  } catch (const Pause&) {
    self.status = Status::kReady;
    self.pending = g_context.pending;
  }
  if (g_context.next != g_context.replay.size()) {
    throw std::logic_error("model: a body is not a function of its operations' results");
  }
  note_writes(state, thread, *before);
}

void leave_threads(const SharedBytes& arena) {
  g_context = Context{};
  restore(arena);
}

State first_state(const Program& program) {
  g_context = Context{};
  g_locations.clear();
  g_names.clear();
  g_ignored.clear();
  g_allocated = 0;
  std::fill(std::begin(g_arena), std::end(g_arena), std::byte{0});
  program.set_up();
  g_initial = snapshot();
  State state;
  state.arena = g_initial;
  state.threads.resize(program.threads.size());
  for (size_t t = 0; t < program.threads.size(); ++t) advance(program, state, t);
  return state;
}

void* allocate(size_t size, size_t alignment) {
  const size_t at = (g_allocated + alignment - 1) / alignment * alignment;
  if (at + size > kArenaSize) throw std::logic_error("model: the arena is full");
  g_allocated = (at + size + 7) / 8 * 8;
  return g_arena + at;
}

void name(const void* address, const std::string& text) { g_names[address] = text; }

void ignore(const void* address) { g_ignored.insert(address); }

void check(bool is_so, const std::string& what) {
  if (!is_so) throw Violation{what};
}

void read_plain(const void* address, size_t size) {
  Context& context = g_context;
  if (context.program == nullptr || context.next < context.replay.size()) return;
  const size_t first = offset_of(address);
  for (size_t word = first / 8; word * 8 < first + size; ++word) {
    if (!context.state->memory.read_plain(context.thread, word)) {
      throw Violation{"race: " + context.program->threads[context.thread].name + " reads byte " +
                      std::to_string(word * 8) + " of the arena"};
    }
  }
}

Outcome perform(Operation operation) {
  Context& context = g_context;
  if (context.program == nullptr) return perform_alone(operation);
  if (g_ignored.contains(operation.address)) return {};
  if (context.program->mutate(context.thread, operation) == Fate::kDrop) return {};
  if (context.next == context.replay.size()) {
    context.pending = operation;
    throw Pause{};
  }
  const Step& step = *context.replay[context.next++];
  if (step.arena.get() != context.restored) restore(step.arena);
  if (operation.kind == Kind::kFutexWait && step.outcome.flag) context.now_ns = kLate;
  return step.outcome;
}

int64_t now_ns() { return g_context.now_ns; }

}  // namespace ringlog::model
