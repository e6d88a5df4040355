#pragma once
// Memory: what C++20's memory model lets threads see, as a machine that can be stepped.
//
// The view semantics of the promising-semantics papers, without promises: the part of RC11 in which
// a load returns what was already stored.
//
//   - Each location keeps all its stores ("messages") in modification order; a message carries a
//   view.
//   - A view says, per location, the oldest message that may still be read.  Each thread has three:
//     current (what it must see), acquired (what a fence would add, from relaxed loads), released
//     (what a fence made its relaxed stores carry).
//   - A load may read any message not older than the thread's view, so there are several outcomes.
//     A store may stand anywhere behind the thread's view, but never between an exchange and the
//     message that it read.  A release store carries the current view; an acquire load joins what
//     the message carries; an exchange passes on what the message it read carried (release
//     sequences).
//   - A seq_cst fence joins the current view with one that all such fences share, both ways.
//   - Views also carry vector clocks, joined by acquire loads only (happens-before), which find
//   races
//     on plain memory.
//
// Weaker than x86 and ARM; in particular relaxed loads of different locations may be stale each by
// itself.  Seq_cst accesses other than fences are not supported and not used in lib/shm.
//
// Plain values, no globals: a Memory is copied for each state that is explored.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ringlog::model {

inline constexpr size_t kThreadsMax = 8;
inline constexpr size_t kLocationsMax = 24;

struct View {
  std::array<uint8_t, kLocationsMax> time{};  // index into the location's messages
  std::array<uint8_t, kThreadsMax> clock{};   // events of each thread that happen before

  void join_times(const View& other);
  void join(const View& other);
};
static_assert(sizeof(View) == 32, "hashed as four words");

struct Message {
  uint64_t value;
  bool is_exchange;  // nothing may come between it and the message before it
  View view;
};

// What a step reads and where it writes; which of them are possible depends on the state.
struct Choice {
  size_t read = 0;   // index of the message read
  size_t place = 0;  // index at which the new message is inserted
};

class Memory {
 public:
  // Makes the location known, with its value before all threads.
  void add_location(size_t location, uint64_t initial);
  size_t location_count() const { return locations_.size(); }

  // Messages that `thread` may read.
  std::vector<Choice> readable(size_t thread, size_t location) const;
  // Where `thread` may put a store.
  std::vector<Choice> writable(size_t thread, size_t location) const;
  // True if an exchange may read `choice.read`: no other one has.
  bool is_exchangeable(size_t location, const Choice& choice) const;
  uint64_t value(size_t location, const Choice& choice) const;
  uint64_t last_value(size_t location) const { return locations_[location].back().value; }

  uint64_t load(size_t thread, size_t location, const Choice& choice, bool is_acquire);
  void store(size_t thread, size_t location, const Choice& choice, uint64_t value, bool is_release);
  void exchange(size_t thread, size_t location, const Choice& choice, uint64_t value,
                bool is_acquire, bool is_release);
  void fence(size_t thread);

  // Plain memory: word `word` of the arena is read or written by `thread`.  False: another thread's
  // access does not happen before this one.
  bool read_plain(size_t thread, size_t word);
  bool write_plain(size_t thread, size_t word);

  // The same for equal states.
  uint64_t hash(uint64_t seed) const;

 private:
  struct Views {
    View current;
    View acquired;
    View released;
  };
  struct PlainWord {
    std::array<uint8_t, kThreadsMax> read_clock{};
    std::array<uint8_t, kThreadsMax> write_clock{};
  };

  void insert(size_t thread, size_t location, size_t place, uint64_t value, bool is_exchange,
              const View& carried);
  PlainWord& plain(size_t word);
  bool happened_before(size_t thread, const std::array<uint8_t, kThreadsMax>& clocks) const;

  std::vector<std::vector<Message>> locations_;
  std::array<Views, kThreadsMax> threads_{};
  View fences_;  // what seq_cst fences share: times only
  std::vector<PlainWord> plain_;
};

// A mixing step of the hashes.
uint64_t mix(uint64_t hash, uint64_t value);

}  // namespace ringlog::model
