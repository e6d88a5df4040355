#pragma once
// Every limit of the service, with its unit and its reason, and how they relate.

#include "shm/limits.h"
#include "store/limits.h"

#include <cstddef>
#include <cstdint>

namespace ringlog::service {

// Bytes drained from one ring before the next ring has its turn: 64 rings wait 3 ms at most.
inline constexpr uint64_t kTurnBytes = 256 * 1024;
// The drain thread rests while the fastest ring fills this part (1/4): few wake-ups, and room for a
// look that comes late.
inline constexpr double kRestPart = 0.25;
// Shorter rests cost more in wake-ups than they save in room.
inline constexpr int64_t kRestNsMin = 200'000;
// A ring that would fill kRestPart in this time or longer crosses no mark between two looks.
inline constexpr int64_t kRestNsMax = 4 * shm::kServiceSleepMaxMs * 1'000'000;
// A producer rings when this part of its ring was not read (1/2): it is faster than it was.  After
// a calm time it rings at the first mark.
inline constexpr uint64_t kWakePartBusy = 2;
inline constexpr uint64_t kWakePartCalm = shm::kMarksPerRing;
// Between two tries of a ring that cannot be read on, each twice as long as the one before: a disk
// or a kernel without memory is not helped by being asked all the time.
inline constexpr int64_t kRingRetryFirstMs = 100;
inline constexpr int64_t kRingRetryMaxMs = 1000;
// Age at which a batch is committed: what a reader of a live run lags behind.
inline constexpr int64_t kBatchAgeMs = 50;
// A batch is also committed when one ring has this part of its room in it (1/2), so that the store
// writes while the producer fills the other half.
inline constexpr uint64_t kBatchRingPart = 2;
// Bytes of rows and records that one run keeps in memory while the store is busy.  Rings bound what
// comes from them; this bounds blobs, whose ring records are small.
inline constexpr size_t kBatchBytesMax = size_t{64} << 20;
// What a run that logs faster than it can be stored takes of the service's memory: the batch being
// filled, the one being stored, rows that wait to be merged, LevelDB's buffers and cache, and what
// the allocator makes of them.  Table files that are mapped for a compaction come on top; they are
// the kernel's cache and given back when it wants them.  tests/e2e/memory_test.py holds it.
inline constexpr size_t kRunMemoryMax = size_t{256} << 20;
// Time between two fsyncs of a run that is written to: what a power cut may cost.
inline constexpr int64_t kSyncIntervalMs = 1000;
// Time between two tries of a write that failed: a full disk is emptied by people.
inline constexpr int64_t kWriteRetryMs = 1000;
// A client waits this long for its first record to be stored before it is told that the disk fails.
inline constexpr int64_t kAttachStoredWaitMs = 1000;

// Time in which the pace of the ranks is taken before a step is agreed on.
inline constexpr int64_t kAgreeSampleMs = 100;

// Columns of all key sets of one run: keeps a program that invents keys from eating the service.
inline constexpr size_t kColumnsPerRunMax = size_t{4} << 20;
// Metrics of one run that its live summary follows: what a page of shm::kLiveTextMax bytes holds.
inline constexpr size_t kLiveMetricsMax = 4096;
// Time between two live summaries: what a person who looks at them does not notice.
inline constexpr int64_t kLiveIntervalMs = 100;
// Times as long as writing one took is rest: it takes at most this part (1/50) of the drain thread.
inline constexpr int64_t kLiveRestFactor = 50;

// Files that one process may have kept live or at its end: each is looked at every kFileLookMs.
inline constexpr size_t kFilesPerProcessMax = 4096;
// Time between two looks at a live file: one that is written in pieces is copied when it is whole.
inline constexpr int64_t kFileLookMs = 1000;
// A file that never stands still is copied this often all the same.
inline constexpr int64_t kFileChangingMs = 30'000;
// Times as long as a copy took is rest for its file: copying takes a twentieth of the disk's time.
inline constexpr int64_t kFileRestFactor = 20;
// Time between two tries of a live file that cannot be copied.
inline constexpr int64_t kFileRetryMs = 30'000;

// Lines of what a program shows at its end, points of a line's curve, and the time that reading
// them may take: it is a courtesy, and somebody waits for it.
inline constexpr size_t kFooterLinesMax = 16;
inline constexpr size_t kFooterPointsMax = 40;
inline constexpr int64_t kFooterTimeMs = 200;

// Bytes of a poisoned ring that are kept aside for `ringlog doctor`.
inline constexpr size_t kQuarantineBytesMax = size_t{1} << 20;

// One control message; requests carry descriptions, never metrics.
inline constexpr size_t kRequestBytesMax = size_t{1} << 20;
// Connections at a time: 64 ranks with 16 data loader workers each, twice over.
inline constexpr size_t kConnectionsMax = 2048;
// Until those who wait to be connected are looked at again, when there were no descriptors or no
// memory for them.
inline constexpr int64_t kAcceptRetryMs = 100;
// Descriptors of one request: a segment or a blob.
inline constexpr size_t kRequestFdsMax = 2;
// Bytes of large mailbox replies that wait to be fetched, or to be fetched again.
inline constexpr size_t kLargeRepliesBytesMax = size_t{64} << 20;
// Runs open at a time: each is a LevelDB with its files and 8 MiB of write buffer.
inline constexpr size_t kRunsOpenMax = 256;
// Beyond this, runs that have ended do not wait for what is under way to their sinks: it may hang.
inline constexpr size_t kRunsUnhurriedMax = 64;
// Names become folders and parts of URLs.
inline constexpr size_t kNameSizeMax = 128;
inline constexpr size_t kSinksPerRunMax = 16;

// A query with a barrier answers after this long whatever happened.
inline constexpr int64_t kQueryWaitMs = 5000;
// The kernel tells how a process ended once its parent has reaped it; after this long nobody will.
inline constexpr int64_t kExitInfoWaitMs = 5000;
inline constexpr int64_t kExitInfoRetryMs = 20;
// A service that is told to end gives the store this long; what is then not stored stays in the
// segments for the next service.
inline constexpr int64_t kShutdownWaitMs = 10'000;
// Until a segment is tried again that could not be read, or whose run or process could not be
// looked at: for want of descriptors or memory, or of the disk.
inline constexpr int64_t kOrphanRetryMs = 5000;
// A process that finished and lives on may ask for its report again, also of the next service, so
// its segment stays this long.
inline constexpr int64_t kRetireMs = 3000;
// A run without producers is closed after this long, so that others may open its store.
inline constexpr int64_t kStreamLingerMs = 3000;
// Default of RINGLOG_IDLE_EXIT_S.
inline constexpr int64_t kIdleExitS = 60;
// How often it looks for what in-process services of dead programs left: one look at a folder that
// nearly always is not there.
inline constexpr int64_t kLeftoversLookMs = 10'000;
// How often the control thread looks for runs to close and for a reason to exit.
inline constexpr int64_t kHousekeepingMs = 250;
// A service that finds the lock taken but nobody listening waits this long for the other's exit.
inline constexpr int64_t kLockWaitMs = 3000;

// Service log: two files of this size.
inline constexpr size_t kLogFileBytes = size_t{1} << 20;
inline constexpr size_t kLogFileCount = 2;

// One batch of a sink.
inline constexpr size_t kSinkBatchRows = 10'000;
inline constexpr size_t kSinkBatchBytes = size_t{1} << 20;
// Key sets whose names a sink keeps as its server wants them; a thousand are a program that invents
// keys, and it starts over.
inline constexpr size_t kSinkKeySetsMax = 1000;
// A live run is looked at this often by its sinks; each look replays the store's log.
inline constexpr int64_t kSinkIntervalMs = 500;
// Exponential backoff of a sink that fails.
inline constexpr int64_t kSinkRetryFirstMs = 500;
inline constexpr int64_t kSinkRetryMaxMs = 60'000;
// Ended runs that are open at once only to be sent, when their sinks come back.
inline constexpr size_t kUnsentOpenMax = 8;
// A service that a client started stays so long for ended runs whose sinks take nothing.  Longer is
// no outage that ends by itself; the next service tries again.
inline constexpr int64_t kUnsentStayMs = 60 * 60'000;
// A note of such a run: a directory and kSinksPerRunMax URLs.
inline constexpr size_t kUnsentNoteBytesMax = size_t{256} << 10;
// The longest a server may send us away: a wrong clock in a Retry-After must not end a sink.
inline constexpr int64_t kSinkRetryAfterMaxMs = 15 * 60'000;
// Config, summary and processes of a live run are sent again this often; ends at once.
inline constexpr int64_t kSinkFactsMs = 5000;
// Rows refused one after another before the sink is taken to want none at all.
inline constexpr int kSinkLeftOutMax = 10;

// One batch of an engine that likes large inserts; at most this much memory per sink.
inline constexpr size_t kEngineBatchRows = 100'000;
inline constexpr size_t kEngineBatchBytes = size_t{4} << 20;
// InfluxDB advises 5,000 to 10,000 points, which are rows.
inline constexpr size_t kLineBatchRows = 10'000;
// Engines make a file of each insert, so live runs are collected for longer.
inline constexpr int64_t kEngineIntervalMs = 1000;
// How long a request may stand still; see the option timeout_s.
inline constexpr int64_t kHttpStallMs = 60'000;
// Below this it stands still: a server that answers byte by byte, or an uplink with which a batch
// takes an hour.
inline constexpr int64_t kHttpBytesPerSecondMin = 1024;
// Bytes that wait in the kernel to be sent: more would look as if they were sent already.
inline constexpr int kHttpUnsentBytes = 16 << 10;
inline constexpr int64_t kHttpConnectMs = 10'000;
// Servers answer a write with nothing or one line.
inline constexpr size_t kHttpAnswerBytesMax = size_t{64} << 10;
// Connections kept open for the next batch, and at once to one server: many runs share a sink.
inline constexpr long kHttpConnectionsKept = 16;
inline constexpr long kHttpConnectionsPerHost = 8;

// What W&B's own client keeps to.  Between two requests of a run that goes on, milliseconds; and
// after so long without one a sign of life.
inline constexpr int64_t kWandbIntervalMs = 15'000;
inline constexpr int64_t kWandbHeartbeatMs = 30'000;
// Between two configs of a run.
inline constexpr int64_t kWandbConfigMs = 5'000;
// A line: 10 MiB less 100 KiB.
inline constexpr size_t kWandbLineBytesMax = (size_t{10} << 20) - (size_t{100} << 10);
// The client's limiter: no more than one request in this time, whatever the server's headers say.
inline constexpr int64_t kWandbGapMaxMs = 10'000;
// How often a live run is looked at: less often than it is sent, but its end should not take long.
inline constexpr int64_t kWandbLookMs = 2'000;
// How long a step waits for the values of other ranks, nanoseconds, and at the start of a run for
// ranks that the launcher announced.
inline constexpr int64_t kWandbHoldNs = 5'000'000'000;
inline constexpr int64_t kWandbRanksWaitNs = 10'000'000'000;
// One batch: rows, their bytes as JSON (so that a request stays below W&B's 10 MiB), bytes of
// console, samples of the machine.
inline constexpr size_t kWandbBatchRows = 10'000;
inline constexpr size_t kWandbBatchBytes = size_t{4} << 20;
inline constexpr size_t kWandbConsoleBytes = size_t{1} << 20;
inline constexpr size_t kWandbSamplesMax = 1000;
// The console as a file at the end of a run: what the network thread renders in a quarter second.
inline constexpr size_t kWandbOutputBytesMax = size_t{16} << 20;
// Files that the server is asked for addresses of at once: its answer is no longer than
// kHttpAnswerBytesMax.
inline constexpr size_t kWandbFilesPerRequest = 16;
// Alerts of a run in memory, and tries of one that the server answers with an error.
inline constexpr size_t kWandbAlertsMax = 100;
inline constexpr int kWandbAlertTriesMax = 8;
// Tries of a file; the last one is two minutes after the first.
inline constexpr int kWandbFileTriesMax = 8;

static_assert(kTurnBytes >= shm::kRecordSizeMax, "RingReader::poll() asks for a whole record");
static_assert(kBatchBytesMax >= shm::kBlobSizeMax);
static_assert(kRunMemoryMax >=
              2 * kBatchBytesMax + store::kOpenBytesMax + 2 * store::kWriteBufferBytes);

}  // namespace ringlog::service
