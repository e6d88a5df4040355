#pragma once
// GuardedMapping: bytes of a file that another process may cut short, to be copied out of it.
//
// Copying from a mapping takes a quarter of the time of pread(2), which looks up each page; a page
// that the file has lost would raise SIGBUS, which sigbus.h turns into a copy that fails.  Used by
// the service only; an instance belongs to one thread at a time.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace ringlog::shm {

class GuardedMapping {
 public:
  // Maps `size` bytes of `fd` from `offset` on, a multiple of the page size, to be read.  They may
  // lie behind the file's end.  The descriptor is not needed afterwards.  Null when the kernel does
  // not map it or there are kMappedRingsMax: nothing is lost, the file can be read.
  static std::unique_ptr<GuardedMapping> map(int fd, uint64_t offset, size_t size);
  ~GuardedMapping();
  GuardedMapping(const GuardedMapping&) = delete;
  GuardedMapping& operator=(const GuardedMapping&) = delete;

  // Copies the bytes from `at` on, which must lie in the mapping.  What comes out no longer
  // changes; another process may be writing it meanwhile.  False: the file has lost some of them,
  // `into` holds anything, and this and every later copy is worthless.
  bool copy(size_t at, std::span<std::byte> into) const;

 private:
  GuardedMapping(int fd, uint64_t offset, size_t size);

  const size_t size_;
  void* const address_;  // or MAP_FAILED
  const int guard_;      // of sigbus.h; -1: not guarded
};

}  // namespace ringlog::shm
