#pragma once
// The ledger: a small mapped file in which test processes keep how far they came.  It survives any
// death.  tests/support/ledger.py reads and writes the same layout.
//
// `begun` is stored before a log() call and `committed` after it, so after a SIGKILL the number of
// rows that must exist is at least `committed` and at most `begun`.
//
// Each thread writes its own words; everything is atomic and relaxed, because a store that was
// executed is in the file whatever happens to the process.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace e2e {

inline constexpr size_t kProcessesMax = 1024;
inline constexpr size_t kThreadsMax = 31;

struct LedgerThread {
  std::atomic<uint64_t> begun;
  std::atomic<uint64_t> committed;
};

// What a process tells about itself: bits of LedgerProcess::flags.
inline constexpr uint64_t kHasRun = 1;       // init() gave a run that logs
inline constexpr uint64_t kIsDisabled = 2;   // init() gave a disabled run
inline constexpr uint64_t kIsChild = 4;      // forked from another one
inline constexpr uint64_t kHasFinished = 8;  // all it wanted to log is committed

struct LedgerProcess {
  std::atomic<uint64_t> pid;
  std::atomic<uint64_t> flags;
  std::atomic<int64_t> rank;
  std::atomic<int64_t> attempt;
  std::atomic<uint64_t> longest_log_ns;
  std::array<uint64_t, 3> reserved;
  std::array<LedgerThread, kThreadsMax> threads;
};
static_assert(sizeof(LedgerProcess) == 64 + 16 * kThreadsMax);

struct Ledger {
  std::atomic<uint64_t> stop;          // 1: whoever logs until told otherwise ends now
  std::atomic<uint64_t> next_process;  // the next free entry for forked children
  std::array<uint64_t, 6> reserved;
  std::array<LedgerProcess, kProcessesMax> processes;

  static Ledger* map(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) throw std::runtime_error("open " + path);
    void* at = ::mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    if (at == MAP_FAILED) throw std::runtime_error("map " + path);
    return static_cast<Ledger*>(at);
  }
};

}  // namespace e2e
