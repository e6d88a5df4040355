#pragma once
// How far this process's first ring is, read from its segment as any other process could.
//
// For a process that has one segment, made before the object.

#include "shm/layout.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>

namespace ringlog::test {

// A row of four doubles in the ring: header, Cap'n Proto words, values.
inline constexpr uint64_t kCellRowBytes = 80;

class SegmentTail {
 public:
  SegmentTail() : fd_(::open(path().c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0 || !read(&header_, sizeof header_, 0)) throw std::runtime_error("no segment");
  }
  ~SegmentTail() { ::close(fd_); }
  SegmentTail(const SegmentTail&) = delete;
  SegmentTail& operator=(const SegmentTail&) = delete;

  // A row that takes as many bytes or more makes the producer look at the doorbell.
  uint64_t bytes_to_next_mark() const {
    uint64_t tail = 0;
    const size_t offset = header_.ring_producers_offset + offsetof(shm::RingProducer, tail);
    if (!read(&tail, sizeof tail, offset)) throw std::runtime_error("no tail");
    const uint64_t step = header_.rings[0].capacity / shm::kMarksPerRing;
    return step - tail % step;
  }

 private:
  static std::string path() {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      if (line.ends_with(".seg")) return line.substr(line.find('/'));
    }
    return "";
  }
  bool read(void* to, size_t size, size_t offset) const {
    return ::pread(fd_, to, size, static_cast<off_t>(offset)) == static_cast<ssize_t>(size);
  }

  const int fd_;
  shm::SegmentHeader header_{};
};

}  // namespace ringlog::test
