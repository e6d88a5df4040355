#include "shm/guarded_mapping.h"

#include "shm/sigbus.h"

#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <utility>

namespace ringlog::shm {

std::unique_ptr<GuardedMapping> GuardedMapping::map(int fd, uint64_t offset, size_t size) {
  install_sigbus_guard();
  std::unique_ptr<GuardedMapping> mapping(new GuardedMapping(fd, offset, size));
  return mapping->guard_ >= 0 ? std::move(mapping) : nullptr;
}

GuardedMapping::GuardedMapping(int fd, uint64_t offset, size_t size)
    : size_(size),
      address_(::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(offset))),
      guard_(address_ != MAP_FAILED ? guard_range(address_, size) : -1) {}

GuardedMapping::~GuardedMapping() {
  unguard_range(guard_);
  if (address_ != MAP_FAILED) ::munmap(address_, size_);
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
