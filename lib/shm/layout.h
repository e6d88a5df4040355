#pragma once
// The segment: the binary interface between one user process and the service.
//
// One file per (run, attached process), created by the service, mapped by both sides:
//
//   page 0   SegmentHeader       constant     who, which run, and the offset of everything below
//   page 1   ServiceWords        by service   epoch, stop request, stored / synced / sent rows, the
//                                             steps agreed on, file bytes left to copy, what
//                                             the service has to say
//   page 2   RingConsumer[32]    by service   head and room word of each ring
//   page 3   ProducerWords       by process   how it ended, the step it is at
//   page 4   RingProducer[32]    by process   tail and loss counters of each ring
//   page 5+  Slot[64]            by both      mailbox (mailbox.h)
//   data     ring bytes          by process   per ring: capacity (2^n), then slack of one largest
//                                             record, so that a record never wraps (ring.h)
//
// Words of different writers stand on different pages, so that each side maps what it must not
// write read-only.  Nobody hard-codes an offset: the header's table gives them, so the layout can
// grow.
//
// Rules: fixed-width little-endian integers only; positions are 64-bit byte counts that never wrap
// (2^64 bytes at 10 GB/s last 58 years); a process reads the other side's words into private memory
// before it checks them, because the other side can change them at any time.

#include "shm/limits.h"

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace ringlog::shm {

static_assert(std::endian::native == std::endian::little, "the layout is little-endian");
static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(std::atomic<uint32_t>::is_always_lock_free);

// "ringlog\x01" read as a little-endian integer.
inline constexpr uint64_t kSegmentMagic = 0x01676f6c676e6972;
// Other majors are refused.  A higher minor only adds what an older reader may ignore.
inline constexpr uint16_t kLayoutMajor = 1;
inline constexpr uint16_t kLayoutMinor = 3;

struct RingGeometry {
  uint64_t data_offset;  // from the start of the file, page aligned
  uint64_t capacity;     // bytes, a power of two; 0: no such ring
};

struct SegmentHeader {
  uint64_t magic;
  uint16_t layout_major;
  uint16_t layout_minor;
  uint32_t incompat_flags;  // an unknown bit means: do not touch
  uint32_t compat_flags;    // unknown bits are ignored
  uint32_t header_size;     // bytes of this struct as its writer knew it
  uint64_t file_size;

  uint32_t service_words_offset;
  uint32_t ring_consumers_offset;
  uint32_t producer_words_offset;
  uint32_t ring_producers_offset;
  uint32_t slots_offset;
  uint32_t ring_count;
  uint32_t slot_count;
  uint32_t record_size_max;

  int32_t pid;           // of the process, in the service's pid namespace
  uint32_t producer_id;  // within the run, from 1
  uint64_t pid_start;    // start time in clock ticks since boot
  int64_t created_ns;    // Unix epoch
  int32_t rank;
  int32_t attempt;
  uint32_t worker;  // 0: the rank itself
  uint32_t reserved;

  std::array<char, 40> uuid;      // of this segment, NUL-terminated like all text here
  std::array<char, 40> boot_id;   // a segment of an earlier boot has no living owner
  std::array<char, 136> run_id;   // as in the store
  std::array<char, 136> project;  // as in the store
  std::array<char, 2048> root;    // absolute path of the folder of all runs

  std::array<RingGeometry, kRingCountMax> rings;
};
static_assert(std::is_trivially_copyable_v<SegmentHeader>);
static_assert(offsetof(SegmentHeader, service_words_offset) == 32);
static_assert(offsetof(SegmentHeader, pid) == 64);
static_assert(offsetof(SegmentHeader, uuid) == 104);
static_assert(offsetof(SegmentHeader, rings) == 2504);
static_assert(sizeof(SegmentHeader) <= kPageSize);

// What the service has to say to whoever runs the program: one sentence, the newest.
struct NoticeWords {
  std::atomic<uint32_t> serial;  // ORDER notice: odd while the text is being written; 0: none yet
  std::atomic<uint32_t> size;    // bytes of UTF-8
  std::array<std::atomic<uint64_t>, 63> text;
};
static_assert(sizeof(NoticeWords) == 512);

// Written by the service, read by the process; all accesses relaxed unless named.
struct ServiceWords {
  std::atomic<uint32_t> epoch;           // of the service that serves this segment now
  std::atomic<uint32_t> stop_requested;  // 1: somebody asked the run to stop
  std::atomic<uint64_t> stored_rows;     // of this process, counted from 0
  std::atomic<uint64_t> synced_rows;
  std::atomic<uint64_t> sent_rows;
  // Bit per ring that is no longer read.  Set before requests behind that place fail, so whoever
  // sees one of them failed sees the bit.
  std::atomic<uint32_t> poisoned_rings;
  std::atomic<uint32_t> network_state;  // 0 unknown, 1 good, 2 retrying, 3 refused
  // Since layout 1.2; zeros before.  A step counts from 1 here, 0: nothing was asked for.
  std::atomic<uint64_t> stop_step;        // ORDER agree: all ranks stop at this step
  std::atomic<uint64_t> checkpoint_step;  // ORDER agree: all ranks save themselves at this step
  // Since layout 1.3; zero before.  Of this process's files, what is still to be copied at its end.
  std::atomic<uint64_t> file_bytes_left;
  NoticeWords notice;
};
static_assert(offsetof(ServiceWords, stop_step) == 40);
static_assert(offsetof(ServiceWords, notice) == 64);
static_assert(sizeof(ServiceWords) == 576);

// Written by the process, read by the service.
struct ProducerWords {
  std::atomic<uint32_t> exit_state;  // ORDER exit: 0 running, 1 exit_code is valid
  std::atomic<int32_t> exit_code;
  std::atomic<uint64_t> lost_records;  // records that are not rows and could not be written
  // Since layout 1.2.  ORDER agree: the step, counted from 1, with which the process last asked
  // whether to stop or to checkpoint; 0: it never did.
  std::atomic<uint64_t> step;
};
static_assert(sizeof(ProducerWords) == 24);

// One ring, consumer's side.
struct alignas(kLineSize) RingConsumer {
  std::atomic<uint64_t> head;  // ORDER head: bytes given back to the producer
  std::atomic<uint32_t> room;  // futex word, changes whenever a waiting producer should look again
  // ORDER doorbell: a mark below this position does not ring; 0 in layout 1.0, where each mark does
  std::atomic<uint64_t> wake_at;
};
static_assert(sizeof(RingConsumer) == kLineSize);

// One ring, producer's side.
struct alignas(kLineSize) RingProducer {
  std::atomic<uint64_t> tail;  // ORDER tail: bytes ever committed
  // On a line of their own: written only when the ring is full.
  alignas(64) std::atomic<uint64_t> attempted_rows;  // when the last row was dropped, or at the end
  std::atomic<uint64_t> dropped_rows;                // ORDER drop
  std::atomic<uint64_t> blocked_ns;                  // time spent waiting for room
  std::atomic<uint32_t> waiting;                     // ORDER room: 1 while the producer sleeps
  std::atomic<uint32_t> in_use;                      // 1 from the first record on
};
static_assert(sizeof(RingProducer) == kLineSize);

// One per service, in a file of its own beside the socket; mapped by all clients.  It outlives the
// service, so that a client's mapping stays good when the next service takes over.
struct DoorbellPage {
  uint64_t magic;
  uint16_t layout_major;
  uint16_t layout_minor;
  std::atomic<uint32_t> epoch;                    // grows with each service
  alignas(64) std::atomic<uint32_t> asleep;       // ORDER doorbell: futex word, 1 = service sleeps
  alignas(64) std::atomic<int64_t> heartbeat_ms;  // monotonic_coarse_ms() of the last look
};
static_assert(sizeof(DoorbellPage) <= kPageSize);
inline constexpr uint64_t kDoorbellMagic = 0x6c6c65626c676e72;  // "rnglbell"

}  // namespace ringlog::shm
