#include "shm/guarded_mapping.h"

#include "shm/limits.h"
#include "shm/sigbus.h"

#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <utility>

namespace ringlog::shm {

namespace {

// ORDER mapped_rings: a count that publishes nothing; it may be above the limit for an instant.
std::atomic<size_t> g_mapped_rings{0};

bool take_place() {
  // ORDER mapped_rings
  if (g_mapped_rings.fetch_add(1, std::memory_order_relaxed) < kMappedRingsMax) return true;
  g_mapped_rings.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

}  // namespace

std::unique_ptr<GuardedMapping> GuardedMapping::map(int fd, uint64_t offset, size_t size) {
  install_sigbus_guard();
  if (!take_place()) return nullptr;
  std::unique_ptr<GuardedMapping> mapping(new GuardedMapping(fd, offset, size));
  if (mapping->guard_ < 0) return nullptr;
  // The children of a program that has the service inside would keep the pages of rings in memory.
  ::madvise(mapping->address_, size, MADV_DONTFORK);
  return mapping;
}

GuardedMapping::GuardedMapping(int fd, uint64_t offset, size_t size)
    : size_(size),
      address_(::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(offset))),
      guard_(address_ != MAP_FAILED ? guard_range(address_, size) : -1) {}

GuardedMapping::~GuardedMapping() {
  unguard_range(guard_);
  if (address_ != MAP_FAILED) ::munmap(address_, size_);
  g_mapped_rings.fetch_sub(1, std::memory_order_relaxed);  // ORDER mapped_rings
}

bool GuardedMapping::copy(size_t at, std::span<std::byte> into) const {
  std::memcpy(into.data(), static_cast<const std::byte*>(address_) + at, into.size());
  // ORDER broken: the mark is set by a signal handler on this thread, in the middle of that copy,
  // and nobody may read the shared bytes once more in place of the copied ones: the compiler moves
  // nothing across.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return !is_range_broken(guard_);
}

}  // namespace ringlog::shm
