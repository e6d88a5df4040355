#pragma once
// The live page of a run: its summary as text, which any process of the user reads without asking
// anybody.
//
//   page 0   LivePage      by service   which of the two texts is whole, and how long they are
//   data     2 x capacity  by service   the texts, written in turn
//
// The service writes the text that nobody is told of, then says that it is the newest (one release
// store).  So whatever kills the service, the page holds a whole text.  A reader copies, then looks
// whether its text was overwritten meanwhile; the service publishes a few times a second, so it
// nearly never was.
//
// A file on tmpfs, <runtime directory>/live/<run id>-<hash>.live, sparse: it takes the memory of
// the texts.  Both classes are resources of one thread at a time.

#include "shm/limits.h"
#include "shm/posix.h"

#include <ringlog/result.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace ringlog::shm {

// "rnglive\x01" read as a little-endian integer.
inline constexpr uint64_t kLiveMagic = 0x01657669'6c676e72;
inline constexpr uint32_t kLiveVersion = 1;
// Bytes of the longest text: a summary of about 16,000 metrics.
inline constexpr uint64_t kLiveTextMax = uint64_t{1} << 20;

struct LivePage {
  uint64_t magic;
  uint32_t version;
  uint32_t capacity;                             // bytes of each text
  alignas(64) std::atomic<uint64_t> serial;      // ORDER live: of the newest text; 0: none yet
  std::array<std::atomic<uint64_t>, 2> sizes;    // of the texts of even and odd serials
  std::array<std::atomic<int64_t>, 2> times_ns;  // when they were written, Unix epoch
  std::atomic<uint32_t> is_closed;               // 1: the run is not open in a service any more
};
static_assert(sizeof(LivePage) <= kPageSize);
static_assert(offsetof(LivePage, serial) == 64);

// Where the page of the run in `run_dir` (absolute) is.
std::string live_page_path(const std::string& runtime_dir, std::string_view run_id,
                           std::string_view run_dir);

// The service's side.
class LivePageWriter {
 public:
  // Makes the file, or goes on with the one that an earlier service left.
  //   kIo, kPermission  it cannot be made
  static Result<std::unique_ptr<LivePageWriter>> open(const std::string& path);
  ~LivePageWriter();
  LivePageWriter(const LivePageWriter&) = delete;
  LivePageWriter& operator=(const LivePageWriter&) = delete;

  //   kTooLarge  the text is longer than kLiveTextMax; the page stays as it was
  //   kIo        the tmpfs is full, or the file was cut
  Status publish(std::string_view text, int64_t time_ns);
  // Takes the name away and says so; whoever has the page mapped keeps the last text.
  void remove();

 private:
  LivePageWriter(std::string path, Fd fd, LivePage* page);
  const std::string path_;
  const Fd fd_;
  LivePage* const page_;
  const int guard_;
};

struct LiveText {
  std::string text;
  int64_t time_ns = 0;   // when the service wrote it, Unix epoch
  bool is_last = false;  // the run was closed; when it is opened again that is another page
};

// Anybody's side.
class LivePageReader {
 public:
  //   kNotFound  the run is not open in a service
  //   kVersion, kCorrupt, kIo, kPermission  the file cannot be used
  static Result<std::unique_ptr<LivePageReader>> open(const std::string& path);
  ~LivePageReader();
  LivePageReader(const LivePageReader&) = delete;
  LivePageReader& operator=(const LivePageReader&) = delete;

  // Copies the newest text; no system call.  kNotFound: there is none yet.  kTimeout: it was
  // overwritten each of several times.
  Result<LiveText> read() const;

 private:
  LivePageReader(const std::byte* bytes, uint32_t capacity) : bytes_(bytes), capacity_(capacity) {}
  const std::byte* const bytes_;
  const uint32_t capacity_;
};

}  // namespace ringlog::shm
