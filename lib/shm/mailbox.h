#pragma once
// The mailbox: answers to requests, through slots in the segment.
//
// A slot's 32-bit word holds everything both sides decide on, so there is one location to compare
// and exchange and no second flag to miss:
//
//   word = generation:28 | waiter:1 | state:3        (a futex word, shared between processes)
//
//   FREE(g) --claim: process--> REQ(g) --answer: service--> DONE(g) --take: process--> FREE(g+1)
//                                 |  \--fail: restarted service--> FAILED(g) --take--> FREE(g+1)
//                                 \--cancel: process--> CANCEL(g) --free: service only--> FREE(g+1)
//   REQ(g) --cancel before the request's record was committed: process--> FREE(g+1)
//
// Only the service frees a cancelled slot: if the process did, the answer to the old request could
// land in the next one.  The generation is defence in depth against the same.  The reply is written
// before the state changes.  The waiter bit shares the word, so both sides change it with a
// read-modify-write of the same location and no fence is needed.

#include "shm/layout.h"

#include <ringlog/result.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace ringlog::shm {

enum class SlotState : uint32_t {
  kFree = 0,
  kRequested = 1,
  kDone = 2,
  kCancelled = 3,
  kFailed = 4
};

inline constexpr uint32_t kSlotStateMask = 7;
inline constexpr uint32_t kSlotWaiter = 8;
inline constexpr uint32_t kSlotGenerationShift = 4;

constexpr SlotState slot_state(uint32_t word) { return SlotState(word & kSlotStateMask); }
constexpr uint32_t slot_generation(uint32_t word) { return word >> kSlotGenerationShift; }
constexpr uint32_t slot_word(uint32_t generation, SlotState state) {
  return generation << kSlotGenerationShift | static_cast<uint32_t>(state);
}

struct alignas(64) Slot {
  std::atomic<uint32_t> word;  // ORDER slot
  uint32_t ring;               // written by the process before the request's record is committed
  // Ring position after the request's record; kNotCommitted from free to commit, stored by whoever
  // frees.  A restarted service fails requests it can no longer find in the ring.  ORDER
  // slot_position
  std::atomic<uint64_t> position;
  alignas(64) uint32_t reply_size;  // bytes; written by the service before DONE
  uint32_t reply_is_large;          // 1: fetch it over the control socket
  std::array<std::byte, kInlineReplySizeMax> reply;
};
static_assert(sizeof(Slot) == kSlotSize);
static_assert(offsetof(Slot, reply) == 72);
// No record ends there, and a new segment's zeros say so.
inline constexpr uint64_t kNotCommitted = 0;

struct SlotReply {
  std::string bytes;
  bool is_large = false;
};

// The process's view.  Thread safe.
class Mailbox {
 public:
  explicit Mailbox(std::span<Slot> slots) : slots_(slots) {}

  struct Claim {
    uint32_t slot;
    uint32_t word;  // as the request's record must carry it
  };
  // kBackpressure when all slots are in flight.
  Result<Claim> claim();
  // Before the request's record is committed: where it will end in which ring.
  void announce(const Claim& claim, uint32_t ring, uint64_t end_position);
  // Sleeps until the answer, at most `timeout`.  `still_there` is asked about every 100 ms whether
  // the service lives; false ends the wait.
  //   kTimeout      may be called again
  //   kServiceGone  `still_there` said no, or a restarted service failed the request; in the first
  //                 case the caller still cancels
  Result<SlotReply> wait(const Claim& claim, std::chrono::nanoseconds timeout,
                         const std::function<bool()>& still_there);
  // Gives an unanswered request up, or frees an answered one.
  void cancel(const Claim& claim);

 private:
  std::span<Slot> slots_;
  std::atomic<uint32_t> next_{0};  // where to look first; plain hint
};

// The service's side.  Any thread.

// Answers a request.  `word_untrusted` is what the request's record carried.  False when nobody
// waits for it any more (cancelled: the slot is freed; another generation: nothing is touched).
bool answer_slot(Slot& slot, uint32_t word_untrusted, std::span<const std::byte> reply,
                 bool is_large);
// After a restart: fails a request that will never be seen again.
void fail_slot(Slot& slot, uint32_t word);

}  // namespace ringlog::shm
