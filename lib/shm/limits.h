#pragma once
// Every limit of the shared-memory side, with its unit and its reason, and how they relate.

#include <cstddef>
#include <cstdint>

namespace ringlog::shm {

// The unit in which shared memory is laid out and protected.
inline constexpr size_t kPageSize = 4096;
// Words written by different threads stand this far apart: two cache lines, because x86 prefetches
// the neighbour line and some ARM lines are 128 bytes.
inline constexpr size_t kLineSize = 128;

// Largest record in a ring, header included.  It is also the slack after a ring's capacity, so that
// a record may run past the end; a larger record goes as a blob.
inline constexpr uint32_t kRecordSizeMax = 64 * 1024;
// First ring of a process: 13,000 rows of four doubles, half a second at 25,000 rows a second.
inline constexpr uint64_t kFirstRingBytes = 1024 * 1024;
// Rings of later threads, which usually log less.
inline constexpr uint64_t kLaterRingBytes = 256 * 1024;
// A ring holds at least two of the largest records, or it could never be refilled while it drains.
inline constexpr uint64_t kRingBytesMin = 2 * kRecordSizeMax;
inline constexpr uint64_t kRingBytesMax = uint64_t{1} << 30;
// One ring for each of the first eight threads and one that the rest share.
inline constexpr uint32_t kRingCount = 9;
inline constexpr uint32_t kSharedRing = kRingCount - 1;
// Room in the layout's ring table, so that kRingCount can grow without a new layout.
inline constexpr uint32_t kRingCountMax = 32;
// A producer looks whether the service sleeps only when it crosses a mark each capacity / 8.
inline constexpr uint64_t kMarksPerRing = 8;
// A reader maps a ring once it has so much to copy out of it at once.  Below that pread(2) costs
// little, and rings that are hardly used need no mapping.
inline constexpr uint64_t kMapFromBytes = 64 * 1024;
// Mappings whose pages may vanish under the service (sigbus.h): one for each process that is
// attached, some for each run, and those of rings, which leave half of the table to the others
// because a ring can be read without.
inline constexpr size_t kGuardedRangesMax = 4096;
inline constexpr size_t kMappedRingsMax = kGuardedRangesMax / 2;

// Requests in flight per process; more would only queue in the service.
inline constexpr uint32_t kSlotCount = 64;
inline constexpr size_t kSlotSize = 256;
// A slot's inline reply: the slot less its words (see mailbox.h).
inline constexpr size_t kInlineReplySizeMax = 184;

// How long a waiting client looks before it sleeps: about what waking the service takes, so that an
// answer which is ready at once costs one wake-up and not two.
inline constexpr int64_t kAnswerSpinNs = 50'000;

// Longest sleep of the service between two looks at the rings; bounds what a missed wake-up costs.
inline constexpr int64_t kServiceSleepMaxMs = 50;
// No heartbeat for this long means the service is gone.  Ten sleeps, so that a busy machine is not
// mistaken for a dead service.
inline constexpr int64_t kServiceSilenceMs = 500;

// Largest blob: 64 MiB is Cap'n Proto's own traversal limit, and more in one log() is a mistake.
inline constexpr uint64_t kBlobSizeMax = 64 * 1024 * 1024;

static_assert(kFirstRingBytes >= kRingBytesMin && kLaterRingBytes >= kRingBytesMin);
static_assert(kRecordSizeMax % kPageSize == 0, "the slack is whole pages");
static_assert(kRingCount <= kRingCountMax);

}  // namespace ringlog::shm
