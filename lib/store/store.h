#pragma once
// Store: one run's LevelDB, opened for writing by the service.
//
//   auto store = Store::open(run_dir, {});
//   store->write(commit, /*sync=*/false);
//
// One write() is one LevelDB batch: rows, records, ring positions and handler state become visible
// together, which is what makes every row stored exactly once.  Reading goes through reader.h.
//
// Threads: write(), refused(), sync() and close_chunks() are called by one thread (the store
// thread).  The others may be called from any thread at the same time; while a failed store is
// reopened they wait.

#include <ringlog/result.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/model.h"

namespace leveldb {
class Env;
}

namespace ringlog::store {

struct StoreOptions {
  bool create = true;            // false: a run that does not exist is kNotFound
  leveldb::Env* env = nullptr;   // where the files are; nullptr: the file system.  For tests.
  size_t write_buffer_size = 0;  // bytes; 0: kWriteBufferBytes.  For tests.
};

// Counted since open.
struct StoreCounters {
  uint64_t commits = 0;
  uint64_t syncs = 0;
  uint64_t failures = 0;  // writes that returned an error
  uint64_t rows = 0;
  uint64_t chunks = 0;       // written, merged ones included
  uint64_t rows_merged = 0;  // rows written a second time because small chunks were merged
  uint64_t raw_bytes = 0;    // of rows
  uint64_t batch_bytes = 0;  // handed to LevelDB
};

class Store {
 public:
  // Opens `<dir>/store`, creating it and the folders above (mode 0700) when there is none.  A
  // damaged store is repaired once; repaired() then says what was lost.
  //   kNotFound    no store there, and options.create is false
  //   kIo          the folder cannot be made, read or written; or another process has the run open
  //   kPermission  the same, when the reason is ownership or mode
  //   kVersion     the store is of another format version
  //   kCorrupt     it is damaged beyond what LevelDB can repair
  // Reads the log of the last run of the service: 10 to 100 ms.
  static Result<std::unique_ptr<Store>> open(const std::string& dir, StoreOptions options = {});
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // What a repair at open had to give up, a line each; empty: nothing was repaired.
  std::vector<std::string> repaired() const;
  const std::string& dir() const;  // the run's directory
  // Why the lock of the store may not keep other machines out, a clause for people; empty: it does.
  // Such a store is also claimed by a file; see writer_claim.h.
  const std::string& lock_weakness() const;

  // Stores a commit whole or not at all; with `sync` it also survives a power cut.
  //   kInvalidArgument  rows of an unknown key set, of another shape than it, or a value above
  //                     kValueBytesMax; the commit can never be stored
  //   kIo, kCorrupt     LevelDB could not write, or another service claimed the store.  Write the
  //                     same commit again, unchanged, before any other: if it had reached the disk
  //                     after all, that is noticed and it is not stored twice.
  // Blocks for the compression and the write; with `sync` for the disk.
  Status write(const Commit& commit, bool sync);
  // After kInvalidArgument of write(): the producer whose rows or records cannot be stored;
  // nothing: it is no producer's.
  std::optional<uint32_t> refused() const;
  // Everything written so far survives a power cut.  kIo as write(); try again.
  Status sync();
  // Merges the small chunks of a producer that writes no more.  kIo as write(); may be repeated.
  Status close_chunks(uint32_t producer);

  // Leaves as few files and bytes as LevelDB can, for a run that ended: the log becomes a table, a
  // compaction under way is waited for (one that is cut off leaves its output behind until the next
  // open), and a store below kTidyBytesMax is compacted whole, which drops the small chunks that
  // larger ones replaced.  Blocks for up to a second.  Any thread; nothing depends on it.
  void tidy();

  // State as last written.
  //   kIo, kCorrupt  it cannot be read
  Result<std::optional<RunMeta>> meta() const;
  Result<std::vector<ProducerState>> producers() const;
  Result<std::vector<KeySet>> key_sets() const;

  // A record too large for a ring waits here until the ring's reference to it is drained.
  //   put: kIo, kTooLarge;  get: kNotFound, kIo, kCorrupt
  Status put_blob(BlobId id, std::string_view bytes);
  Result<std::string> get_blob(BlobId id) const;

  // A sink's watermark; survives a power cut only with the next sync, so a sink may send a little
  // twice and must say which rows it sends.
  //   put: kIo;  get: kIo, kCorrupt; an unknown sink has the empty state
  Status put_sink_state(std::string_view sink, const SinkState& state);
  Result<SinkState> sink_state(std::string_view sink) const;

  StoreCounters counters() const;

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringlog::store
