#pragma once
// WriterClaim: who writes a store whose folder's locks may not reach everybody.  Internal to
// lib/store.
//
// A file WRITER in the store's folder, one line: who wrote it and a random id.  It is renewed (its
// time set) by every write that comes kClaimRenewMs after the last renewal, and is free when
//   - its process was one of this machine and is dead, or
//   - its process cannot be asked (another machine, another container) and it was not renewed for
//     kClaimFreeMs, by the clock of the file system, which is one for all.
// Whoever lost his claim meanwhile, because he stood still for so long, sees a foreign id before
// his next write and writes no more.  So two can only write at once when both took the same free
// claim within the moment of a rename, or when one stops for kClaimFreeMs in the middle of a write.
//
// Owned by one thread at a time.

#include <ringlog/result.h>

#include <cstdint>
#include <memory>
#include <string>

namespace ringlog::store {

class WriterClaim {
 public:
  // Claims the store in the folder `dir`, which exists.
  //   kIo          somebody has it, named by the message; or the file cannot be written
  //   kPermission  it cannot be written, because of ownership or mode
  static Result<std::unique_ptr<WriterClaim>> take(const std::string& dir);
  ~WriterClaim();  // gives it back, if it is still ours
  WriterClaim(const WriterClaim&) = delete;
  WriterClaim& operator=(const WriterClaim&) = delete;

  // To be called before each write.  Looks at the file and renews it before the first write and
  // then kClaimRenewMs after the last time, or `always`; in between it costs a look at the clock.
  //   kIo  somebody else has claimed the store, or the file is gone or cannot be read
  Status renew(bool always);

 private:
  WriterClaim(std::string path, std::string line)
      : path_(std::move(path)), line_(std::move(line)) {}

  const std::string path_;
  const std::string line_;  // what we wrote
  int64_t renewed_ns_ = 0;  // monotonic; 0: never
};

}  // namespace ringlog::store
