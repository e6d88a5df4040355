#pragma once
// What the ranks share: parameters, gradients, and one word per rank that says how far it is. This
// is the example's all-reduce; a real job has NCCL here.
//
//   step s     gradient phase: each rank writes its gradient     its word becomes 2 s + 1
//              (all wait for all)
//              update phase: each rank averages its slice of     its word becomes 2 s + 2
//              the gradients and writes its slice of version
//              s + 1 of the parameters; version s stays
//              (all wait for all)
//
// A rank may die at any instruction. A phase writes only what nobody reads before the phase is
// published, and reads only what nobody writes before it is; so its replacement looks up its own
// word and repeats the phase that had not been published, to the same result to the last bit. The
// others notice nothing but a long wait. The launcher reaps the dead rank before it starts the next
// attempt, so a word has one writer at any time. Every wait ends: after kWatchdog at the latest.

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <system_error>
#include <type_traits>

#include "model.h"
#include "optimizer.h"
#include "options.h"

namespace train {

struct TeamState {
  struct alignas(64) Word {
    std::atomic<std::uint32_t> phases_done;  // Also the futex word. Written by its rank only.
  };
  static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

  std::atomic<std::uint64_t> step_count;  // Lowered when somebody asks the run to stop.
  std::array<Word, kRankCountMax> words;
  std::array<Version, 2> versions;  // Version s is at s % 2.
  std::array<Parameters, kRankCountMax>
      gradients;  // Pages of ranks that do not exist cost nothing.
};
static_assert(std::is_trivially_destructible_v<TeamState>);

// The mapping of a TeamState that lives in a file. Neither copied nor moved.
class TeamMapping {
 public:
  explicit TeamMapping(int fd)
      : address_(mmap(nullptr, sizeof(TeamState), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) {
    if (address_ == MAP_FAILED) {
      throw std::system_error(errno, std::generic_category(), "cannot map the shared state");
    }
  }
  ~TeamMapping() { munmap(address_, sizeof(TeamState)); }
  TeamMapping(const TeamMapping&) = delete;
  TeamMapping& operator=(const TeamMapping&) = delete;

  TeamState& operator*() const { return *static_cast<TeamState*>(address_); }
  TeamState* operator->() const { return static_cast<TeamState*>(address_); }

 private:
  void* address_;
};

// One rank's side of the team. Used by one thread.
class Team {
 public:
  Team(int fd, std::size_t rank, std::size_t rank_count)
      : state_(fd), rank_(rank), rank_count_(rank_count) {}

  // The step to work on: after a restart, the one that the dead attempt had not finished.
  std::size_t step() const { return phases_done() / 2; }

  // The steps to train in all. Every rank sees the same value after wait_for_all().
  std::size_t step_count() const {
    // ORDER stop: written before the stopper's gradient is published, so ORDER phase carries it.
    return state_->step_count.load(std::memory_order_relaxed);
  }

  // Makes the current step the last one. Call it before publish_gradient().
  void stop_after_this_step() {
    // ORDER stop: read by the others once they have seen this rank's next phase.
    state_->step_count.store(step() + 1, std::memory_order_relaxed);
  }

  // The parameters of the current step.
  const Parameters& parameters() const { return state_->versions[step() % 2].parameters; }

  // Shows this rank's gradient to the others. Nothing happens when the dead attempt already did.
  void publish_gradient(const Parameters& gradient) {
    const std::uint32_t done = phases_done();
    if (done % 2 == 1) return;
    state_->gradients[rank_] = gradient;
    publish(done + 1);
  }

  // Averages the gradients of this rank's slice and moves its parameters to the next version.
  void update_slice(float rate) {
    const std::size_t step_now = step();
    const Version& from = state_->versions[step_now % 2];
    Version& to = state_->versions[(step_now + 1) % 2];
    const std::size_t end = slice_begin(rank_ + 1);
    for (std::size_t i = slice_begin(rank_); i < end; ++i) {
      float sum = 0;
      for (std::size_t rank = 0; rank < rank_count_; ++rank) sum += state_->gradients[rank][i];
      adam(from, to, i, sum / static_cast<float>(rank_count_), rate, step_now);
    }
    publish(phases_done() + 1);
  }

  // Waits until every rank has published as many phases as this one; a rank that is dead is waited
  // for until its replacement has caught up. Returns the rank that kept the team waiting for
  // kWatchdog, or nothing when all is well.
  std::optional<std::size_t> wait_for_all() {
    const std::uint32_t target = phases_done();
    const auto deadline = std::chrono::steady_clock::now() + kWatchdog;
    for (std::size_t rank = 0; rank < rank_count_; ++rank) {
      std::atomic<std::uint32_t>& word = state_->words[rank].phases_done;
      for (;;) {
        // ORDER phase: sees all that the other rank wrote before it published this phase.
        const std::uint32_t done = word.load(std::memory_order_acquire);
        if (done >= target) break;
        if (std::chrono::steady_clock::now() > deadline) return rank;
        sleep_while(word, done);
      }
    }
    return std::nullopt;
  }

 private:
  static constexpr std::chrono::seconds kWatchdog{60};

  std::uint32_t phases_done() const {
    // ORDER phase: own word; after a restart, sees what the dead attempt had published.
    return state_->words[rank_].phases_done.load(std::memory_order_acquire);
  }

  std::size_t slice_begin(std::size_t rank) const { return kParameterCount * rank / rank_count_; }

  void publish(std::uint32_t done) {
    std::atomic<std::uint32_t>& word = state_->words[rank_].phases_done;
    // ORDER phase: publishes the gradient or the slice of parameters written before it.
    word.store(done, std::memory_order_release);
    syscall(SYS_futex, &word, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
  }

  // Sleeps in short slices: a rank killed between its store and its wake never wakes anybody.
  static void sleep_while(std::atomic<std::uint32_t>& word, std::uint32_t value) {
    constexpr timespec kSlice{.tv_sec = 0, .tv_nsec = 50'000'000};
    syscall(SYS_futex, &word, FUTEX_WAIT, value, &kSlice, nullptr, 0);
  }

  TeamMapping state_;
  const std::size_t rank_;
  const std::size_t rank_count_;
};

}  // namespace train
