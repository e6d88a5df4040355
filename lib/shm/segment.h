#pragma once
// Segments and the doorbell page: creating, opening and mapping them.
//
// The service creates a segment completely (all pages written, header filled) under a temporary
// name and renames it, so that whoever finds one by name finds a whole one.  Where the tmpfs has no
// room it is a file on disk, and where that cannot be a sealed memfd.  Both sides check everything
// they did not write themselves.
//
// The views are resources: they own their mapping, neither copy nor move, and all pointers from
// them end with them.  The objects have no locks; the words they give access to are atomics.

#include "shm/layout.h"
#include "shm/mailbox.h"
#include "shm/posix.h"

#include <ringlog/result.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace ringlog::shm {

// Owns one shared mapping; lib/shm/segment.cc is Boost.Interprocess's only home.
class Mapping;

// What the service knows when it makes a segment.
struct SegmentSpec {
  std::string run_id;
  std::string project;
  std::string root;  // absolute
  uint32_t producer_id = 0;
  int32_t rank = 0;
  int32_t attempt = 0;
  uint32_t worker = 0;
  int32_t pid = 0;
  uint64_t pid_start = 0;
  uint64_t first_ring_bytes = kFirstRingBytes;
  uint64_t later_ring_bytes = kLaterRingBytes;
};

// Bytes a segment of this spec takes.
uint64_t segment_size(const SegmentSpec& spec);

struct CreatedSegment {
  Fd fd;
  std::string path;    // of the file <uuid>.seg; empty: a memfd
  std::string notice;  // why it is not in the first place; empty otherwise
};
// Where segments may be.  A page of a file stays in the kernel's cache whoever dies, so both
// folders keep rows alike; on a disk the kernel's writeback can make a log() wait.
struct SegmentPlaces {
  std::string directory;   // on tmpfs if there is one
  std::string overflow{};  // on disk, made when it is needed; empty: none
};
// Creates a segment in the first of the places whose filesystem has the room for it and a quarter
// more, else as a memfd.
//   kInvalidArgument  a ring size that is not a power of two or out of limits.h, a name too long
//   kIo               none of them can hold it
Result<CreatedSegment> create_segment(const SegmentPlaces& places, const SegmentSpec& spec);

// Reads and validates the header of a segment file into private memory.
//   kVersion  another layout; kCorrupt  not a segment or impossible geometry; kIo
Result<SegmentHeader> read_segment_header(int fd, const std::string& what);

// Text out of a fixed array of the header.
template <size_t N>
std::string_view header_text(const std::array<char, N>& text) {
  const std::string_view all(text.data(), N);
  return all.substr(0, all.find('\0'));
}

// The process's mapping: all of it, with the pages it must not write read-only.
class ClientSegment {
 public:
  static Result<std::unique_ptr<ClientSegment>> map(Fd fd);
  ~ClientSegment();
  ClientSegment(const ClientSegment&) = delete;
  ClientSegment& operator=(const ClientSegment&) = delete;

  const SegmentHeader& header() const { return header_; }
  const ServiceWords& service() const;
  ProducerWords& producer() const;
  const RingConsumer& ring_consumer(uint32_t ring) const;
  RingProducer& ring_producer(uint32_t ring) const;
  std::byte* ring_data(uint32_t ring) const;
  std::span<Slot> slots() const;
  int fd() const { return fd_.get(); }
  // The mapping stays.  In a forked child, which must not hold its parent's segment.
  void close_file() { fd_.reset(); }

 private:
  ClientSegment(Fd fd, const SegmentHeader& header, std::unique_ptr<Mapping> mapping);
  Fd fd_;
  const SegmentHeader header_;  // private copy, checked
  std::unique_ptr<Mapping> mapping_;
};

// The service's mapping: the control pages only; ring bytes are a RingReader's affair.  A process
// that truncates its file makes the control pages fault: see sigbus.h.
class ServiceSegment {
 public:
  //   kCorrupt, kVersion, kIo: `fd` is still the caller's
  static Result<std::unique_ptr<ServiceSegment>> map(Fd&& fd, const std::string& what);
  ~ServiceSegment();
  ServiceSegment(const ServiceSegment&) = delete;
  ServiceSegment& operator=(const ServiceSegment&) = delete;

  const SegmentHeader& header() const { return header_; }
  ServiceWords& service() const;
  const ProducerWords& producer() const;
  RingConsumer& ring_consumer(uint32_t ring) const;
  const RingProducer& ring_producer(uint32_t ring) const;
  std::span<Slot> slots() const;
  int fd() const { return fd_.get(); }
  // True once an access to the control pages faulted: the file was cut under us.  Everything read
  // since then is zeros.
  bool is_broken() const;

 private:
  ServiceSegment(Fd fd, const SegmentHeader& header, std::unique_ptr<Mapping> mapping);
  Fd fd_;
  const SegmentHeader header_;
  std::unique_ptr<Mapping> mapping_;
};

// The service's doorbell page, mapped by everybody.
class Doorbell {
 public:
  // The service: opens or creates the file and raises the epoch.
  //   kPermission  it belongs to another user or is not a plain file; kIo
  static Result<std::unique_ptr<Doorbell>> create(const std::string& path);
  // A client: maps the file it was handed.
  static Result<std::unique_ptr<Doorbell>> map(Fd fd);
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  DoorbellPage& page() const;
  int fd() const { return fd_.get(); }
  // As above.
  void close_file() { fd_.reset(); }

 private:
  Doorbell(Fd fd, std::unique_ptr<Mapping> mapping);
  Fd fd_;
  std::unique_ptr<Mapping> mapping_;
};

}  // namespace ringlog::shm
