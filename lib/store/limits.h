#pragma once
// Every limit of the store, with its unit and its reason, and how they relate.

#include <cstddef>
#include <cstdint>

namespace ringlog::store {

// Version of what stands on disk; docs/store_format.md.  Another one is refused, not guessed at.
inline constexpr uint32_t kFormatVersion = 1;

// How long a run that another process holds is waited for: a service that was killed lets go of its
// descriptors one by one, and its successor may be quicker.  Milliseconds.
inline constexpr int kLockWaitMs = 200;
// Where locks may not reach everybody, the writer of a store says so in a file: how often at most
// while it writes, and after which silence a machine that cannot be asked is taken for dead.
// Network file systems show a change of another machine after a few seconds, so the second is
// several of the first.  Milliseconds.
inline constexpr int64_t kClaimRenewMs = 5'000;
inline constexpr int64_t kClaimFreeMs = 30'000;

// LevelDB's thread answers at once unless another user of LevelDB in this process has it compact
// some megabytes.  Milliseconds.
inline constexpr int kBackgroundWaitMs = 5'000;

// Rows of one chunk.  4096 cells are 32 KiB, what one Blosc block and one core's first cache hold.
inline constexpr size_t kChunkRowsMax = 4096;
// A commit that brings this many rows of one key set writes them as chunks of their own at once;
// fewer wait in an open chunk.  Half of the maximum, so that a fast logger never writes a row
// twice.
inline constexpr size_t kChunkRowsDirect = kChunkRowsMax / 2;
// The same in raw bytes, for rows of many metrics.
inline constexpr size_t kChunkBytesDirect = size_t{1} << 20;
// Raw bytes of one chunk: 4096 rows of 128 metrics.  A single larger row is a chunk of its own.
inline constexpr size_t kChunkBytesMax = size_t{4} << 20;
// Rows of open chunks that one store keeps in memory to merge them later.  Over it the largest open
// chunk is closed: memory stays bounded and only compression suffers.
inline constexpr size_t kOpenBytesMax = size_t{16} << 20;
// An open chunk is closed when this many lsns were given out since its oldest part: what is older
// can no longer change, and a reader that follows the run need not look at it again.
inline constexpr uint64_t kOpenLsnSpanMax = 10'000;
// What an open chunk itself takes of that budget, so that a program that never logs the same keys
// twice is bounded as well.
inline constexpr size_t kOpenChunkBytes = 1024;
// Small chunks that an open chunk may consist of before they are merged among themselves, so that
// neither a reader nor a restart ever meets thousands of them.
inline constexpr size_t kOpenPartsMax = 64;

// Columns share a page until it has this many compressed bytes: one metric of a hundred is read
// without the others, and a LevelDB block still amortises its index entry.
inline constexpr size_t kPageBytes = size_t{32} << 10;
// A chunk whose pages and column directory stay below this is kept inside its header.
inline constexpr size_t kInlineBytesMax = size_t{4} << 10;
// Fewer cells than this are kept raw: a compressor's set-up costs more than it saves, and the cells
// are merged into a larger chunk soon.
inline constexpr size_t kCompressRowsMin = 64;

// Time from the first to the last sample that stand in one value of system metrics, nanoseconds:
// whoever looks for a time begins this much before it.
inline constexpr int64_t kStatsSpanMaxNs = 60'000'000'000;

// Largest single byte cell, blob or record: what Cap'n Proto will traverse by default.
inline constexpr size_t kValueBytesMax = size_t{64} << 20;
// What a chunk header may claim before it is called corrupt.
inline constexpr size_t kReadRowsMax = size_t{1} << 20;
inline constexpr size_t kReadColumnsMax = size_t{1} << 20;
// What a producer's state, and a sink's, may claim.  Cap'n Proto has lists whose elements take no
// bytes, so without a limit eighty bytes become gigabytes.
inline constexpr size_t kReadRingsMax = 256;        // eight times what a segment has room for
inline constexpr size_t kReadKindsMax = 64 * 1024;  // of one ring: what its 16 bits can tell apart
inline constexpr size_t kReadLanesMax = size_t{1} << 20;
// Depth of nested objects in config and values; Cap'n Proto's own limit.
inline constexpr int kNestingMax = 64;

// Lines about damage that one store, and what reads it, may leave in memory.
inline constexpr size_t kDamageLinesMax = 64;

// LevelDB.  A write buffer holds about 0.2 s of the fastest load; what is in the log is replayed by
// every reader of a live run, so it must stay small.
inline constexpr size_t kWriteBufferBytes = size_t{8} << 20;
// Each compaction rewrites the last table it finds, half full on average: small tables make that
// little.  A run of 10 GB is then 1280 files.
inline constexpr size_t kTableBytesMax = size_t{8} << 20;
// Tables of a run that ended are rewritten as a whole up to this size: half a second of work that
// matters, because replaced chunks may be most of a small store.  In a larger one they are little.
inline constexpr size_t kTidyBytesMax = size_t{64} << 20;

// A view of a live run is taken again when the service replaced files meanwhile.  A try costs
// milliseconds and rarely fails; so long, in ms, means that something else is wrong.
inline constexpr int kSnapshotPatienceMs = 10'000;

static_assert(kClaimFreeMs >= 6 * kClaimRenewMs);
static_assert(kChunkRowsDirect * 2 == kChunkRowsMax);
static_assert(kChunkRowsMax <= kReadRowsMax);
static_assert(kChunkBytesDirect <= kChunkBytesMax);
static_assert(kOpenBytesMax >= 2 * kChunkBytesMax, "an open chunk can always grow full");
static_assert(kInlineBytesMax < kPageBytes);

}  // namespace ringlog::store
