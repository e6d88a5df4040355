#include "shm/sigbus.h"

#include "shm/limits.h"

#include <signal.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <mutex>

namespace ringlog::shm {

namespace {

// The handler may run on any thread at any time, so the table holds only lock-free atomics.  `size`
// is stored last and cleared first: a range with a size is valid.
struct Range {
  std::atomic<uintptr_t> address{0};
  std::atomic<size_t> size{0};  // ORDER range
  std::atomic<bool> is_taken{false};
  std::atomic<bool> is_broken{false};
};
std::array<Range, kGuardedRangesMax> g_ranges;
std::atomic<uint64_t> g_broken_pages{0};
struct sigaction g_previous {};

bool patch(uintptr_t fault) {
  for (Range& range : g_ranges) {
    // ORDER range: pairs with the release in guard_range(); address is valid while size is set.
    const size_t size = range.size.load(std::memory_order_acquire);
    const uintptr_t start = range.address.load(std::memory_order_relaxed);
    if (size == 0 || fault < start || fault >= start + size) continue;
    void* page = reinterpret_cast<void*>(fault & ~(uintptr_t{kPageSize} - 1));
    void* patched = ::mmap(page, kPageSize, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    // ORDER broken: seen by the thread that faulted, behind its access; GuardedMapping::copy().
    range.is_broken.store(true, std::memory_order_relaxed);
    // ORDER broken_pages: after the mark, so whoever sees the count finds the range.
    g_broken_pages.fetch_add(1, std::memory_order_release);
    return patched != MAP_FAILED;
  }
  return false;
}

void on_sigbus(int signal, siginfo_t* info, void* context) {
  if (patch(reinterpret_cast<uintptr_t>(info->si_addr))) return;
  if ((g_previous.sa_flags & SA_SIGINFO) != 0 && g_previous.sa_sigaction != nullptr) {
    g_previous.sa_sigaction(signal, info, context);
    return;
  }
  const bool is_simple = (g_previous.sa_flags & SA_SIGINFO) == 0;
  if (is_simple && g_previous.sa_handler != SIG_DFL && g_previous.sa_handler != SIG_IGN) {
    g_previous.sa_handler(signal);
    return;
  }
  // The access is repeated after we return and then takes the default action.
  ::signal(signal, SIG_DFL);
}

}  // namespace

void install_sigbus_guard() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    ::sigaction(SIGBUS, &action, &g_previous);
  });
}

int guard_range(void* address, size_t size) {
  for (size_t i = 0; i < g_ranges.size(); ++i) {
    Range& range = g_ranges[i];
    // ORDER range_slot: takes over what unguard_range() released.
    if (range.is_taken.exchange(true, std::memory_order_acq_rel)) continue;
    range.is_broken.store(false, std::memory_order_relaxed);
    range.address.store(reinterpret_cast<uintptr_t>(address), std::memory_order_relaxed);
    // ORDER range: publishes the address to the handler.
    range.size.store(size, std::memory_order_release);
    return static_cast<int>(i);
  }
  return -1;
}

void unguard_range(int index) {
  if (index < 0) return;
  Range& range = g_ranges[static_cast<size_t>(index)];
  range.size.store(0, std::memory_order_release);          // ORDER range
  range.is_taken.store(false, std::memory_order_release);  // ORDER range_slot
}

uint64_t broken_pages() {
  // ORDER broken_pages: pairs with the release in patch().
  return g_broken_pages.load(std::memory_order_acquire);
}

bool is_range_broken(int index) {
  return index >= 0 &&
         g_ranges[static_cast<size_t>(index)].is_broken.load(std::memory_order_relaxed);
}

}  // namespace ringlog::shm
