#pragma once
// Inside the explorer: one state of a program's execution, and how a thread is advanced in it.
//
// Used by explorer.cc and execution.cc only.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "explorer.h"
#include "memory.h"

namespace ringlog::model {

using Bytes = std::vector<std::byte>;
using SharedBytes = std::shared_ptr<const Bytes>;

// One operation of a thread and its result; shared by all states that came through it.
struct Step {
  std::shared_ptr<const Step> previous;
  Operation operation;
  Outcome outcome;
  SharedBytes arena;  // plain bytes as the thread found them afterwards
  uint64_t hash;      // of all results so far
};

enum class Status : uint8_t { kReady, kAsleep, kWoken, kFinished };

struct ThreadState {
  std::shared_ptr<const Step> last;
  SharedBytes first_arena;
  Operation pending;
  Status status = Status::kReady;
  int timeouts = 0;  // taken
};

// How a state was reached; for traces.
struct Link {
  std::shared_ptr<const Link> previous;
  size_t thread;
  Operation operation;
  Outcome outcome;
  bool is_asleep;
};

struct State {
  Memory memory;
  SharedBytes arena;
  std::vector<ThreadState> threads;
  std::shared_ptr<const Link> trace;
};

struct Violation {
  std::string what;
};

// Where the words of the arena are, by number, as they were first met.
struct Location {
  const void* address;
  size_t size;
};
const std::vector<Location>& locations();
const std::map<const void*, std::string>& names();

uint64_t read_word(const std::byte* at, size_t size);
size_t offset_of(const void* address);
// The number of the operation's atomic, made known to `memory` with the value it had after set_up.
size_t location_of(const Operation& operation, Memory& memory);

// The state before all threads: set_up ran, each thread stands before its first operation.
State first_state(const Program& program);
// Runs the thread's body up to its next operation, or to its end.  Throws Violation.
void advance(const Program& program, State& state, size_t thread);
// Makes perform() work on the arena alone, with these plain bytes in it.
void leave_threads(const SharedBytes& arena);

}  // namespace ringlog::model
