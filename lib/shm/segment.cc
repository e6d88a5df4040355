#include "shm/segment.h"

#include "shm/sigbus.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <boost/interprocess/mapped_region.hpp>
#include <cstring>

namespace ringlog::shm {

namespace bip = boost::interprocess;

namespace {

// Lets Boost map a descriptor that was received rather than opened by name.
class MappableFd {
 public:
  explicit MappableFd(int fd) : fd_(fd) {}
  bip::mapping_handle_t get_mapping_handle() const { return {fd_, false}; }

 private:
  int fd_;
};

constexpr uint64_t round_up_page(uint64_t size) {
  return (size + kPageSize - 1) & ~(kPageSize - 1);
}

template <size_t N>
Status set_text(std::array<char, N>& into, const std::string& text, const char* what) {
  if (text.size() >= N || text.find('\0') != std::string::npos) {
    return Error{Code::kInvalidArgument, std::string(what) + " is longer than " +
                                             std::to_string(N - 1) + " bytes or holds a zero byte"};
  }
  std::memcpy(into.data(), text.data(), text.size());
  return Done{};
}

bool is_ring_size(uint64_t bytes) {
  return std::has_single_bit(bytes) && bytes >= kRingBytesMin && bytes <= kRingBytesMax;
}

void lay_out(const SegmentSpec& spec, SegmentHeader& header) {
  header.service_words_offset = kPageSize;
  header.ring_consumers_offset = 2 * kPageSize;
  header.producer_words_offset = 3 * kPageSize;
  header.ring_producers_offset = 4 * kPageSize;
  header.slots_offset = 5 * kPageSize;
  header.ring_count = kRingCount;
  header.slot_count = kSlotCount;
  header.record_size_max = kRecordSizeMax;
  uint64_t offset = round_up_page(header.slots_offset + kSlotCount * sizeof(Slot));
  for (uint32_t ring = 0; ring < kRingCount; ++ring) {
    const uint64_t capacity = ring == 0 ? spec.first_ring_bytes : spec.later_ring_bytes;
    header.rings[ring] = {offset, capacity};
    offset += capacity + kRecordSizeMax;
  }
  header.file_size = offset;
}

Result<SegmentHeader> make_header(const SegmentSpec& spec) {
  SegmentHeader header{};
  header.magic = kSegmentMagic;
  header.layout_major = kLayoutMajor;
  header.layout_minor = kLayoutMinor;
  header.header_size = sizeof(SegmentHeader);
  header.pid = spec.pid;
  header.producer_id = spec.producer_id;
  header.pid_start = spec.pid_start;
  header.created_ns = realtime_ns();
  header.rank = spec.rank;
  header.attempt = spec.attempt;
  header.worker = spec.worker;
  for (const uint64_t bytes : {spec.first_ring_bytes, spec.later_ring_bytes}) {
    if (is_ring_size(bytes)) continue;
    return Error{Code::kInvalidArgument,
                 "ring_bytes is " + std::to_string(bytes) + "; allowed are powers of two from " +
                     std::to_string(kRingBytesMin) + " to " + std::to_string(kRingBytesMax)};
  }
  if (Status s = set_text(header.uuid, random_uuid(), "uuid"); !s) return s.take_error();
  if (Status s = set_text(header.boot_id, boot_id(), "boot id"); !s) return s.take_error();
  if (Status s = set_text(header.run_id, spec.run_id, "run_id"); !s) return s.take_error();
  if (Status s = set_text(header.project, spec.project, "project"); !s) return s.take_error();
  if (Status s = set_text(header.root, spec.root, "dir"); !s) return s.take_error();
  lay_out(spec, header);
  return header;
}

Status fill(int fd, const SegmentHeader& header, const std::string& what) {
  if (Status s = allocate_file(fd, header.file_size, what); !s) return s;
  if (::pwrite(fd, &header, sizeof header, 0) != ssize_t{sizeof header}) {
    return errno_error("write the header of " + what);
  }
  return Done{};
}

Result<CreatedSegment> create_named(const std::string& directory, const SegmentHeader& header) {
  auto free = free_bytes(directory);
  if (!free) return free.take_error();
  // A quarter more than needed, so that the last segment does not take the room of whoever else
  // lives on this tmpfs.
  if (*free < header.file_size + header.file_size / 4) {
    return Error{Code::kIo, directory + " has " + std::to_string(*free) +
                                " bytes free, a segment takes " + std::to_string(header.file_size)};
  }
  const std::string path = directory + "/" + std::string(header_text(header.uuid)) + ".seg";
  const std::string temporary = path + ".new";
  auto fd = open_file(temporary, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (!fd) return fd.take_error();
  Status filled = fill(fd->get(), header, temporary);
  if (filled && ::rename(temporary.c_str(), path.c_str()) != 0) {
    filled = errno_error("rename " + temporary);
  }
  if (!filled) {
    ::unlink(temporary.c_str());
    return filled.take_error();
  }
  return CreatedSegment{std::move(*fd), path, {}};
}

Result<CreatedSegment> create_on_disk(const std::string& directory, const SegmentHeader& header) {
  if (directory.empty()) return Error{Code::kNotFound, "there is no folder for it on disk"};
  if (Status s = private_directory(directory); !s) return s.take_error();
  return create_named(directory, header);
}

Result<CreatedSegment> create_anonymous(const SegmentHeader& header) {
  auto fd = create_memfd("ringlog-segment");
  if (!fd) return fd.take_error();
  if (Status s = fill(fd->get(), header, "memfd segment"); !s) return s.take_error();
  // Sealed, so that neither side can make the other fault by truncating it.
  if (::fcntl(fd->get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return errno_error("seal the memfd segment");
  }
  return CreatedSegment{std::move(*fd), {}, {}};
}

bool is_range_inside(uint64_t offset, uint64_t size, uint64_t file_size) {
  return offset % kPageSize == 0 && offset >= kPageSize && size <= file_size &&
         offset <= file_size - size;
}

struct Region {
  uint64_t offset;
  uint64_t size;
};

// Everything between the header and the rings.
std::array<Region, 5> control_regions(const SegmentHeader& h) {
  return {{{h.service_words_offset, kPageSize},
           {h.ring_consumers_offset, kPageSize},
           {h.producer_words_offset, kPageSize},
           {h.ring_producers_offset, kPageSize},
           {h.slots_offset, round_up_page(kSlotCount * sizeof(Slot))}}};
}

uint64_t control_end(const SegmentHeader& h) {
  uint64_t end = 0;
  for (const Region& region : control_regions(h)) end = std::max(end, region.offset + region.size);
  return end;
}

// Regions of different writers must not share a page: one side maps it read-only.
bool are_control_regions_sound(const SegmentHeader& h) {
  auto regions = control_regions(h);
  std::sort(regions.begin(), regions.end(),
            [](const Region& a, const Region& b) { return a.offset < b.offset; });
  uint64_t end = 0;
  for (const Region& region : regions) {
    if (!is_range_inside(region.offset, region.size, h.file_size) || region.offset < end)
      return false;
    end = region.offset + region.size;
  }
  return true;
}

Status check_geometry(const SegmentHeader& h, uint64_t file_size, const std::string& what) {
  bool ok = h.file_size <= file_size && h.ring_count > 0 && h.ring_count <= kRingCountMax &&
            h.slot_count <= kSlotCount && h.record_size_max == kRecordSizeMax &&
            are_control_regions_sound(h);
  for (uint32_t ring = 0; ok && ring < h.ring_count; ++ring) {
    const RingGeometry& g = h.rings[ring];
    ok = is_ring_size(g.capacity) &&
         is_range_inside(g.data_offset, g.capacity + kRecordSizeMax, h.file_size) &&
         g.data_offset >= control_end(h);
  }
  if (!ok) return Error{Code::kCorrupt, what + " has an impossible layout"};
  return Done{};
}

}  // namespace

class Mapping {
 public:
  static Result<std::unique_ptr<Mapping>> map(int fd, uint64_t size, const std::string& what) {
    try {
      return std::unique_ptr<Mapping>(new Mapping(fd, size));
    } catch (const bip::interprocess_exception& e) {
      return errno_error("map " + what + " (" + e.what() + ")", e.get_native_error());
    }
  }
  ~Mapping() { unguard_range(guard_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  template <typename T>
  T& at(uint64_t offset) const {
    return *reinterpret_cast<T*>(bytes() + offset);
  }
  std::byte* bytes() const { return static_cast<std::byte*>(region_.get_address()); }
  size_t size() const { return region_.get_size(); }
  void make_read_only(uint64_t offset, uint64_t size) const {
    // Only a guard against our own mistakes, so a kernel that refuses is no error.
    ::mprotect(bytes() + offset, size, PROT_READ);
  }
  void guard() {
    install_sigbus_guard();
    // The children of a program that has the service inside have no use for it.
    ::madvise(bytes(), size(), MADV_DONTFORK);
    guard_ = guard_range(bytes(), size());
  }
  bool is_broken() const { return is_range_broken(guard_); }

 private:
  Mapping(int fd, uint64_t size)
      : region_(MappableFd(fd), bip::read_write, 0, size, nullptr, MAP_POPULATE) {}
  bip::mapped_region region_;
  int guard_ = -1;
};

uint64_t segment_size(const SegmentSpec& spec) {
  SegmentHeader header{};
  lay_out(spec, header);
  return header.file_size;
}

Result<CreatedSegment> create_segment(const SegmentPlaces& places, const SegmentSpec& spec) {
  auto header = make_header(spec);
  if (!header) return header.take_error();
  auto named = create_named(places.directory, *header);
  if (named) return named;
  auto on_disk = create_on_disk(places.overflow, *header);
  if (on_disk) {
    on_disk->notice = named.error().message + "; the rings of this process are in " +
                      places.overflow + ", on a disk, whose writeback can make log() wait";
    return on_disk;
  }
  const std::string why = named.error().message + "; " + on_disk.error().message;
  auto anonymous = create_anonymous(*header);
  if (!anonymous) return std::move(anonymous.take_error()).in(why);
  anonymous->notice = why +
                      "; using anonymous memory, whose rows survive the death of either side but "
                      "not of both at once";
  return anonymous;
}

Result<SegmentHeader> read_segment_header(int fd, const std::string& what) {
  auto size = file_size(fd, what);
  if (!size) return size.take_error();
  SegmentHeader header{};
  if (Status s = read_at(fd, std::as_writable_bytes(std::span(&header, 1)), 0, what); !s)
    return s.take_error();
  if (header.magic != kSegmentMagic) return Error{Code::kCorrupt, what + " is not a segment"};
  if (header.layout_major != kLayoutMajor || header.incompat_flags != 0) {
    return Error{Code::kVersion, what + " has layout " + std::to_string(header.layout_major) + "." +
                                     std::to_string(header.layout_minor) + ", this program reads " +
                                     std::to_string(kLayoutMajor) + "." +
                                     std::to_string(kLayoutMinor)};
  }
  if (Status s = check_geometry(header, *size, what); !s) return s.take_error();
  return header;
}

Result<std::unique_ptr<ClientSegment>> ClientSegment::map(Fd fd) {
  auto header = read_segment_header(fd.get(), "segment");
  if (!header) return header.take_error();
  auto mapping = Mapping::map(fd.get(), header->file_size, "segment");
  if (!mapping) return mapping.take_error();
  // A forked child must not write into its parent's rings: a stale pointer faults instead.
  ::madvise((*mapping)->bytes(), (*mapping)->size(), MADV_DONTFORK);
  (*mapping)->make_read_only(0, kPageSize);
  (*mapping)->make_read_only(header->service_words_offset, kPageSize);
  (*mapping)->make_read_only(header->ring_consumers_offset, kPageSize);
  return std::unique_ptr<ClientSegment>(
      new ClientSegment(std::move(fd), *header, std::move(*mapping)));
}

ClientSegment::ClientSegment(Fd fd, const SegmentHeader& header, std::unique_ptr<Mapping> mapping)
    : fd_(std::move(fd)), header_(header), mapping_(std::move(mapping)) {}
ClientSegment::~ClientSegment() = default;

const ServiceWords& ClientSegment::service() const {
  return mapping_->at<ServiceWords>(header_.service_words_offset);
}
ProducerWords& ClientSegment::producer() const {
  return mapping_->at<ProducerWords>(header_.producer_words_offset);
}
const RingConsumer& ClientSegment::ring_consumer(uint32_t ring) const {
  return mapping_->at<RingConsumer>(header_.ring_consumers_offset + ring * sizeof(RingConsumer));
}
RingProducer& ClientSegment::ring_producer(uint32_t ring) const {
  return mapping_->at<RingProducer>(header_.ring_producers_offset + ring * sizeof(RingProducer));
}
std::byte* ClientSegment::ring_data(uint32_t ring) const {
  return mapping_->bytes() + header_.rings[ring].data_offset;
}
std::span<Slot> ClientSegment::slots() const {
  return {&mapping_->at<Slot>(header_.slots_offset), header_.slot_count};
}

Result<std::unique_ptr<ServiceSegment>> ServiceSegment::map(Fd&& fd, const std::string& what) {
  auto header = read_segment_header(fd.get(), what);
  if (!header) return header.take_error();
  auto mapping = Mapping::map(fd.get(), control_end(*header), what);
  if (!mapping) return mapping.take_error();
  (*mapping)->make_read_only(0, kPageSize);
  (*mapping)->make_read_only(header->producer_words_offset, kPageSize);
  (*mapping)->make_read_only(header->ring_producers_offset, kPageSize);
  (*mapping)->guard();
  return std::unique_ptr<ServiceSegment>(
      new ServiceSegment(std::move(fd), *header, std::move(*mapping)));
}

ServiceSegment::ServiceSegment(Fd fd, const SegmentHeader& header, std::unique_ptr<Mapping> mapping)
    : fd_(std::move(fd)), header_(header), mapping_(std::move(mapping)) {}
ServiceSegment::~ServiceSegment() = default;
bool ServiceSegment::is_broken() const { return mapping_->is_broken(); }

ServiceWords& ServiceSegment::service() const {
  return mapping_->at<ServiceWords>(header_.service_words_offset);
}
const ProducerWords& ServiceSegment::producer() const {
  return mapping_->at<ProducerWords>(header_.producer_words_offset);
}
RingConsumer& ServiceSegment::ring_consumer(uint32_t ring) const {
  return mapping_->at<RingConsumer>(header_.ring_consumers_offset + ring * sizeof(RingConsumer));
}
const RingProducer& ServiceSegment::ring_producer(uint32_t ring) const {
  return mapping_->at<RingProducer>(header_.ring_producers_offset + ring * sizeof(RingProducer));
}
std::span<Slot> ServiceSegment::slots() const {
  return {&mapping_->at<Slot>(header_.slots_offset), header_.slot_count};
}

Result<std::unique_ptr<Doorbell>> Doorbell::create(const std::string& path) {
  auto fd = open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (!fd) return fd.take_error();
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return errno_error("stat " + path);
  if (!S_ISREG(info.st_mode)) return Error{Code::kPermission, path + " is not a plain file"};
  if (info.st_uid != ::geteuid()) {
    return Error{Code::kPermission, path + " belongs to user " + std::to_string(info.st_uid) +
                                        ", not to user " + std::to_string(::geteuid())};
  }
  if (static_cast<uint64_t>(info.st_size) < kPageSize) {
    if (Status s = allocate_file(fd->get(), kPageSize, path); !s) return s.take_error();
  }
  auto mapping = Mapping::map(fd->get(), kPageSize, path);
  if (!mapping) return mapping.take_error();
  // Every client holds this file too and could cut it.
  (*mapping)->guard();
  DoorbellPage& page = (*mapping)->at<DoorbellPage>(0);
  page.layout_major = kLayoutMajor;
  page.layout_minor = kLayoutMinor;
  page.asleep.store(0, std::memory_order_relaxed);
  page.heartbeat_ms.store(monotonic_coarse_ms(), std::memory_order_relaxed);
  // Starts above 0, so that a zeroed segment word never equals a real epoch.
  page.epoch.fetch_add(1, std::memory_order_relaxed);
  page.magic = kDoorbellMagic;
  return std::unique_ptr<Doorbell>(new Doorbell(std::move(*fd), std::move(*mapping)));
}

Result<std::unique_ptr<Doorbell>> Doorbell::map(Fd fd) {
  auto size = file_size(fd.get(), "doorbell");
  if (!size) return size.take_error();
  if (*size < kPageSize) return Error{Code::kCorrupt, "doorbell is cut short"};
  auto mapping = Mapping::map(fd.get(), kPageSize, "doorbell");
  if (!mapping) return mapping.take_error();
  const DoorbellPage& page = (*mapping)->at<DoorbellPage>(0);
  if (page.magic != kDoorbellMagic) return Error{Code::kCorrupt, "doorbell has no magic"};
  if (page.layout_major != kLayoutMajor) {
    return Error{Code::kVersion, "doorbell has layout " + std::to_string(page.layout_major)};
  }
  return std::unique_ptr<Doorbell>(new Doorbell(std::move(fd), std::move(*mapping)));
}

Doorbell::Doorbell(Fd fd, std::unique_ptr<Mapping> mapping)
    : fd_(std::move(fd)), mapping_(std::move(mapping)) {}
Doorbell::~Doorbell() = default;
DoorbellPage& Doorbell::page() const { return mapping_->at<DoorbellPage>(0); }

}  // namespace ringlog::shm
