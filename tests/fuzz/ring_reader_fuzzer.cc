// RingReader over a ring whose bytes, tail and turns come from the fuzzer, in one file with a
// healthy ring.
//
//   start:u16 ×8   where the positions begin
//   then, until the end, operations:  op:u8 …
//     0  offset:u16 ×8 · size:u8 · bytes      written from that offset on, slack included
//     1  distance:u16 ×8                      the tail moves so far ahead of its start
//     2  tail:u64                             the tail becomes that
//     3  size:u16 ×8 · kind:u16               a whole record behind the last one, published
//     4                                       poll, twice
//     5                                       what was polled is given back
//     6  size:u16 ×8                          the file ends there, polled twice, and is whole again
//
// Whatever the bytes are: records lie within the private copy and follow each other, the position
// never goes back, polling the same place again gives the same, and the healthy ring is read
// bit-exactly.

#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "shm/posix.h"
#include "shm/ring.h"
#include "shm/ring_reader.h"
#include "tests/fuzz/input.h"

namespace ringlog::fuzz {
namespace {

using namespace shm;  // NOLINT

constexpr uint64_t kCapacity = kRingBytesMin;
constexpr uint64_t kRingSize = kCapacity + kRecordSizeMax;
constexpr uint64_t kGoodRecords = 40;

// The file of both rings; made once.
struct File {
  File() : fd(std::move(*create_memfd("ring_reader_fuzzer"))) {
    require(::ftruncate(fd.get(), 2 * kRingSize) == 0, "the file has room");
    data = static_cast<std::byte*>(
        ::mmap(nullptr, 2 * kRingSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
    require(data != MAP_FAILED, "the file can be mapped");
  }
  void resize(uint64_t size) {
    require(::ftruncate(fd.get(), static_cast<off_t>(size)) == 0, "a file in memory can be cut");
  }
  Fd fd;
  std::byte* data;
};

class Ring {
 public:
  Ring(File& file, uint64_t offset, uint64_t start)
      : data(file.data + offset),
        file_(file),
        offset_(offset),
        reader_(file.fd.get(), {offset, kCapacity}, words, head, start) {
    words.tail.store(start);
    head.head.store(start);
  }

  // Polls from where it stands; false: the ring is poisoned.
  bool poll() {
    std::vector<RecordView> views;
    const uint64_t before = reader_.position();
    const Status status = reader_.poll(kRecordSizeMax, scratch_, views);
    uint64_t position = before;
    for (const RecordView& view : views) {
      position += view.header.bytes;
      require(view.end_position == position, "records follow each other");
      const std::byte* const begin = view.payload_untrusted.data();
      require(begin >= scratch_.data() &&
                  begin + view.payload_untrusted.size() <= scratch_.data() + scratch_.size(),
              "a record lies within the private copy");
    }
    require(reader_.position() == position, "the position is behind the last record");
    require(position - before <= kCapacity, "no more than a ring at once");
    polled = std::move(views);
    if (!status) require(status.error().code == Code::kCorrupt, "a foreign ring is corrupt");
    return static_cast<bool>(status);
  }
  bool poll_twice() {
    const uint64_t before = reader_.position();
    const bool first = poll();
    const uint64_t after = reader_.position();
    const size_t count = polled.size();
    reader_.rewind(before);
    require(poll() == first && reader_.position() == after && polled.size() == count,
            "the same place gives the same records");
    return first;
  }
  // As poll_twice(), of a file that has `size` bytes of this ring and then is whole again.
  bool poll_cut(uint64_t size) {
    file_.resize(offset_ + size);
    const bool is_read = poll_twice();
    file_.resize(2 * kRingSize);
    return is_read;
  }
  void give_back() { reader_.give_back(reader_.position()); }
  RingReader& reader() { return reader_; }

  std::byte* const data;
  RingProducer words{};
  RingConsumer head{};
  std::vector<RecordView> polled;

 private:
  File& file_;
  const uint64_t offset_;
  RingReader reader_;
  std::vector<std::byte> scratch_;
};

// Publishes a record without payload bytes of its own.
void append(Ring& ring, uint64_t& end, uint32_t bytes, uint16_t kind) {
  const RecordHeader header{bytes, kind, 0, 2, 0};
  std::memcpy(ring.data + (end & (kCapacity - 1)), &header, sizeof header);
  end += bytes;
  ring.words.tail.store(end);
}

// True while the ring may be read on.
bool step(Input& input, Ring& ring, uint64_t start, uint64_t& end) {
  switch (input.take<uint8_t>() % 7) {
    case 0: {
      const uint64_t offset = input.take<uint16_t>() * uint64_t{8} % kRingSize;
      const auto bytes = input.take_bytes(input.take<uint8_t>());
      const size_t size = std::min<size_t>(bytes.size(), kRingSize - offset);
      if (size > 0) std::memcpy(ring.data + offset, bytes.data(), size);
      return true;
    }
    case 1:
      ring.words.tail.store(start + input.take<uint16_t>() * uint64_t{8});
      return true;
    case 2:
      ring.words.tail.store(input.take<uint64_t>());
      return true;
    case 3: {
      const uint32_t bytes = input.take<uint16_t>() % 8192 * 8;
      append(ring, end, bytes, input.take<uint16_t>());
      return true;
    }
    case 4:
      return ring.poll_twice();
    case 6:
      return ring.poll_cut(input.take<uint16_t>() * uint64_t{8} % kRingSize);
    default:
      ring.give_back();
      return true;
  }
}

void check_good(Ring& good, uint64_t start) {
  uint64_t end = start;
  for (uint64_t i = 0; i < kGoodRecords; ++i) {
    const RecordHeader header{24, 64, kFlagRow, 2, i};
    std::byte* const at = good.data + (end & (kCapacity - 1));
    std::memcpy(at, &header, sizeof header);
    std::memcpy(at + sizeof header, &i, sizeof i);
    end += header.bytes;
  }
  good.words.tail.store(end);
  require(good.poll(), "the healthy ring is read");
  require(good.polled.size() == kGoodRecords, "all of the healthy ring is read");
  for (uint64_t i = 0; i < kGoodRecords; ++i) {
    require(good.polled[i].header.seq == i &&
                std::memcmp(good.polled[i].payload_untrusted.data(), &i, sizeof i) == 0,
            "the healthy ring is read bit-exactly");
  }
}

void run(Input input) {
  static File file;
  std::memset(file.data, 0, 2 * kRingSize);
  const uint64_t start = input.take<uint16_t>() * uint64_t{8};
  // The bad one is the last in the file, so that its end can be cut off.
  Ring good(file, 0, start);
  Ring bad(file, kRingSize, start);
  uint64_t end = start;
  while (!input.is_empty() && step(input, bad, start, end)) {
  }
  if (bad.poll()) bad.give_back();
  check_good(good, start);
}

}  // namespace
}  // namespace ringlog::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ringlog::fuzz::run({data, size});
  return 0;
}
