#pragma once
// The explorer: runs a small program of a few threads in every way the memory model allows.
//
// A thread's body is ordinary code over std::atomic, production code included; atomic.h puts
// ringlog::model::perform() in place of the hardware.  A body is a function of what its operations
// returned, so a thread is advanced by running its body anew, feeding it the results so far, until
// it asks for one more: that operation is its next step.  The explorer holds states, not stacks: it
// takes each step of each thread with each outcome that the memory (memory.h) allows, and leaves
// states that it has seen.
//
// What threads share lives in the arena.  Its atomics are steps; its plain bytes are looked at
// before and after each step: what a thread changed are its writes, and read_plain() names its
// reads; both must be ordered by happens-before, or the program has a race.
//
// A program is wrong if a check() fails, if plain memory is raced for, or if at the end a thread
// still sleeps.  One exploration at a time, in one thread.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace ringlog::model {

enum class Kind : uint8_t {
  kLoad,
  kStore,
  kAdd,
  kCompareExchange,
  kFence,      // seq_cst
  kFutexWait,  // the kernel's: a full fence, then compare and sleep as one
  kFutexWake,  // the kernel's: a full fence, then all who sleep there wake
  kAwait,      // harness only: an acquire load that waits for `value` or more
};

struct Operation {
  Kind kind = Kind::kFence;
  const void* address = nullptr;
  size_t size = 0;
  std::memory_order order = std::memory_order_relaxed;
  std::memory_order failure = std::memory_order_relaxed;  // of a compare_exchange
  uint64_t value = 0;
  uint64_t expected = 0;
};

// The result of an operation: the value read (of a store: nothing), and whether a compare_exchange
// succeeded or a futex wait ended by its timeout.
struct Outcome {
  uint64_t value = 0;
  bool flag = false;
};

// What becomes of an operation in a mutant.
enum class Fate { kKeep, kDrop };

struct Thread {
  std::string name;
  std::function<void()> body;
  int timeouts = 0;                // so many of its futex waits may time out, at any moment
  bool times_out_at_last = false;  // … and any, when nobody else can go on
};

struct Program {
  // Puts the shared objects into the arena and makes them ready; runs once, alone.
  std::function<void()> set_up;
  std::vector<Thread> threads;
  // Runs alone after each execution, over what is left in the arena.
  std::function<void()> at_end = [] {};
  // Weakens or drops an operation of thread `thread`.
  std::function<Fate(size_t thread, Operation&)> mutate = [](size_t, Operation&) {
    return Fate::kKeep;
  };
  size_t states_max = 2'000'000;
};

struct Report {
  std::string violation;  // empty: none
  std::string trace;      // how it came to it, a step a line
  size_t states = 0;
  size_t ends = 0;  // executions that came to their end
};

Report explore(const Program& program);

// --- for bodies, set_up and at_end

// The arena: shared objects, zeroed before set_up.  They are never destroyed.
inline constexpr size_t kArenaSize = 2048;
extern std::byte g_arena[kArenaSize];
void* allocate(size_t size, size_t alignment);
template <typename T, typename... Args>
T& make(Args&&... args) {
  return *new (allocate(sizeof(T), alignof(T))) T(std::forward<Args>(args)...);
}
// For traces.
void name(const void* address, const std::string& text);
// This atomic takes no part: loads give 0, stores do nothing.
void ignore(const void* address);

// Ends the execution as wrong unless `is_so`.
void check(bool is_so, const std::string& what);
// Says that the thread reads these bytes of the arena now.
void read_plain(const void* address, size_t size);
// Waits until the word holds `value` or more, and acquires it.
template <typename Atomic>
void await_at_least(const Atomic& word, uint64_t value);

// The hardware.  Outside an exploration and in set_up and at_end: at once, alone.
Outcome perform(Operation operation);
// Nanoseconds as the running thread sees them: 0 until one of its waits timed out, then late.
int64_t now_ns();

template <typename Atomic>
void await_at_least(const Atomic& word, uint64_t value) {
  Operation operation;
  operation.kind = Kind::kAwait;
  operation.address = &word;
  operation.size = sizeof word;
  operation.order = std::memory_order_acquire;
  operation.value = value;
  perform(operation);
}

}  // namespace ringlog::model
