#include "shm/futex.h"

#include "shm/posix.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>

namespace ringlog::shm {

namespace {

// Tells the core that this is a wait loop, so that its sibling and the memory bus have peace.
void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

}  // namespace

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));
static_assert(std::atomic<uint32_t>::is_always_lock_free);

void futex_wait(const std::atomic<uint32_t>& word, uint32_t expected,
                std::chrono::nanoseconds timeout) {
  if (timeout <= std::chrono::nanoseconds::zero()) return;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
  const timespec relative{.tv_sec = static_cast<time_t>(seconds.count()),
                          .tv_nsec = static_cast<long>((timeout - seconds).count())};
  ::syscall(SYS_futex, &word, FUTEX_WAIT, expected, &relative, nullptr, 0);
}

uint32_t spin_while(const std::atomic<uint32_t>& word, uint32_t expected,
                    std::chrono::nanoseconds timeout) {
  const int64_t end = deadline_ns(monotonic_ns(), timeout);
  for (;;) {
    // ORDER slot: what stands in the answer is visible with it; pairs with the release in settle().
    const uint32_t now = word.load(std::memory_order_acquire);
    if (now != expected || monotonic_ns() >= end) return now;
    pause_cpu();
  }
}

void futex_wake_all(const std::atomic<uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace ringlog::shm
