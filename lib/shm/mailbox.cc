#include "shm/mailbox.h"

#include "shm/futex.h"
#include "shm/posix.h"

#include <algorithm>

namespace ringlog::shm {

namespace {

uint32_t next_free(uint32_t word) { return slot_word(slot_generation(word) + 1, SlotState::kFree); }

bool is_answered(uint32_t word) {
  return slot_state(word) == SlotState::kDone || slot_state(word) == SlotState::kFailed;
}

// DONE(g), FAILED(g) or CANCEL(g) -> FREE(g+1), by whoever alone may do so.
void free_slot(Slot& slot, uint32_t word) {
  // A free slot has no position: the next owner finds none left over and never stores one before
  // the slot is its own.
  slot.position.store(kNotCommitted, std::memory_order_relaxed);
  // ORDER slot: we are done with the slot's bytes; claim() acquires.
  slot.word.store(next_free(word), std::memory_order_release);
}

// REQ(g)[+W] -> `settled`, waking who waits.  False if the word is no longer a request of that
// generation; `word` then holds what it is.
bool settle(Slot& slot, uint32_t& word, uint32_t settled) {
  const uint32_t generation = slot_generation(word);
  while (slot_state(word) == SlotState::kRequested && slot_generation(word) == generation) {
    // ORDER slot: publishes the reply to the acquire in Mailbox::wait(); one location, so the
    // waiter bit is either seen here or its setter sees the new state.
    if (slot.word.compare_exchange_weak(word, settled, std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
      if ((word & kSlotWaiter) != 0) futex_wake_all(slot.word);
      return true;
    }
  }
  return false;
}

}  // namespace

Result<Mailbox::Claim> Mailbox::claim() {
  const uint32_t count = static_cast<uint32_t>(slots_.size());
  const uint32_t start = next_.fetch_add(1, std::memory_order_relaxed);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t index = (start + i) % count;
    Slot& slot = slots_[index];
    uint32_t word = slot.word.load(std::memory_order_relaxed);
    if (slot_state(word) != SlotState::kFree) continue;
    const uint32_t requested = slot_word(slot_generation(word), SlotState::kRequested);
    // ORDER slot: acquires the slot from whoever freed it; the ring's tail publishes it later.
    if (slot.word.compare_exchange_strong(word, requested, std::memory_order_acq_rel,
                                          std::memory_order_relaxed)) {
      return Claim{index, requested};
    }
  }
  return Error{Code::kBackpressure,
               "mailbox: all " + std::to_string(count) + " requests of this process are in flight"};
}

void Mailbox::announce(const Claim& claim, uint32_t ring, uint64_t end_position) {
  Slot& slot = slots_[claim.slot];
  slot.ring = ring;
  // ORDER slot_position: publishes `ring`; pairs with the acquire of a restarted service.
  slot.position.store(end_position, std::memory_order_release);
}

Result<SlotReply> Mailbox::wait(const Claim& claim, std::chrono::nanoseconds timeout,
                                const std::function<bool()>& still_there) {
  Slot& slot = slots_[claim.slot];
  const int64_t deadline = deadline_ns(monotonic_ns(), timeout);
  // ORDER slot: DONE makes the reply visible; pairs with the release in settle().
  uint32_t word = slot.word.load(std::memory_order_acquire);
  if (!is_answered(word)) {
    // Without the waiter bit: an answer that comes in this time costs the service no wake either.
    word = spin_while(slot.word, word, std::min(timeout, std::chrono::nanoseconds(kAnswerSpinNs)));
  }
  while (!is_answered(word)) {
    const int64_t left = deadline - monotonic_ns();
    if (left <= 0) return Error{Code::kTimeout, "mailbox: no answer yet"};
    // ORDER slot: the waiter bit goes into the very word the answer changes, so settle() sees it.
    if ((word & kSlotWaiter) == 0 &&
        !slot.word.compare_exchange_strong(word, word | kSlotWaiter, std::memory_order_acq_rel,
                                           std::memory_order_acquire)) {
      continue;
    }
    constexpr int64_t kSliceNs = 100'000'000;
    futex_wait(slot.word, word | kSlotWaiter, std::chrono::nanoseconds(std::min(left, kSliceNs)));
    // ORDER slot: as at the top.
    word = slot.word.load(std::memory_order_acquire);
    if (!is_answered(word) && !still_there()) {
      return Error{Code::kServiceGone, "mailbox: the service is gone"};
    }
  }
  if (slot_state(word) == SlotState::kFailed) {
    return Error{Code::kServiceGone, "mailbox: the service restarted and lost the request"};
  }
  const size_t size = std::min<size_t>(slot.reply_size, slot.reply.size());
  return SlotReply{std::string(reinterpret_cast<const char*>(slot.reply.data()), size),
                   slot.reply_is_large != 0};
}

void Mailbox::cancel(const Claim& claim) {
  Slot& slot = slots_[claim.slot];
  const uint32_t generation = slot_generation(claim.word);
  // A request whose record was never committed reaches no service, so nobody else would free it. It
  // goes straight to free: on the way over CANCEL a restarted service could free it a second time.
  const bool is_committed = slot.position.load(std::memory_order_relaxed) != kNotCommitted;
  uint32_t word = claim.word;
  if (settle(slot, word,
             is_committed ? slot_word(generation, SlotState::kCancelled) : next_free(word))) {
    return;
  }
  if (is_answered(word) && slot_generation(word) == generation) free_slot(slot, word);
}

bool answer_slot(Slot& slot, uint32_t word_untrusted, std::span<const std::byte> reply,
                 bool is_large) {
  // ORDER slot: sees a cancel, or a claim by another generation, before the reply is written.
  uint32_t word = slot.word.load(std::memory_order_acquire);
  if (slot_generation(word) != slot_generation(word_untrusted)) return false;
  if (slot_state(word) == SlotState::kRequested) {
    // Our own copy bounds the copying: the slot's can be changed by the process meanwhile.
    const size_t size = std::min(reply.size(), slot.reply.size());
    slot.reply_size = static_cast<uint32_t>(size);
    slot.reply_is_large = is_large ? 1 : 0;
    std::copy_n(reply.begin(), size, slot.reply.begin());
    if (settle(slot, word, slot_word(slot_generation(word), SlotState::kDone))) return true;
  }
  if (slot_state(word) == SlotState::kCancelled &&
      slot_generation(word) == slot_generation(word_untrusted)) {
    free_slot(slot, word);  // only the service frees a cancelled slot
  }
  return false;
}

void fail_slot(Slot& slot, uint32_t word) {
  const uint32_t generation = slot_generation(word);
  if (settle(slot, word, slot_word(generation, SlotState::kFailed))) return;
  // Cancelled, before we looked or since: nobody else will ever free it.
  if (slot_state(word) == SlotState::kCancelled && slot_generation(word) == generation) {
    free_slot(slot, word);
  }
}

}  // namespace ringlog::shm
