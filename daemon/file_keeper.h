#pragma once
// FileKeeper: copies the files that programs save live or at their end into their runs' folders.
//
//   keeper.watch(stream, producer, port, file);         // a File record was stored
//   keeper.end(stream, producer, [](KeptFiles) { … });  // the process ended, however it did
//
// A live file is looked at every kFileLookMs.  It is copied when it differs from its copy and has
// stood still since the last look, or has changed for kFileChangingMs; copying takes at most a
// twentieth of the time.  At the end of the process what differs from its copy is copied once more.
// What became of a file is a record of its own: when its first copy is there, when it cannot be
// copied, and at the end.  Until the end is recorded the process's segment stays, so that the next
// service goes on when this one dies.
//
// All copying happens on one thread: a large file, or one on a file system that hangs, makes other
// files wait, and nothing else.  run() is its body; the other public functions: any thread;
// callbacks run on the keeper's thread, or before the call returns.

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "daemon/clock.h"
#include "daemon/port.h"
#include "daemon/stream.h"
#include "daemon/task_queue.h"
#include "record/file_facts.h"
#include "shm/copy_file.h"

namespace ringlog::service {

// What became of a process's files in the end.
struct KeptFiles {
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t failed = 0;
};

class FileKeeper {
 public:
  using WhenKept = std::function<void(const KeptFiles&)>;
  // What became of a file; to be stored as a record of the producer.
  using Report = std::function<void(const std::shared_ptr<Stream>&, uint32_t producer,
                                    const record::FileFacts& facts)>;

  FileKeeper(const Clock& clock, Report report) : clock_(clock), report_(std::move(report)) {}
  FileKeeper(const FileKeeper&) = delete;
  FileKeeper& operator=(const FileKeeper&) = delete;

  // `port`: who is told what goes wrong; nullptr: nobody, or introduce() later.
  void watch(const std::shared_ptr<Stream>& stream, uint32_t producer,
             const std::shared_ptr<Port>& port, record::FileFacts file);
  void introduce(const std::string& run_dir, const std::shared_ptr<Port>& port);
  // Copies what is left; after it nothing of this producer is copied any more.  Asked again, it
  // answers the same.
  void end(const std::shared_ptr<Stream>& stream, uint32_t producer, WhenKept done);
  // Calls `done` when everything that was asked for before has been done.
  void when_idle(const std::function<void()>& done);

  // Files of this producer are not in their final state.
  bool has(const std::string& run_dir, uint32_t producer) const;
  // The same for any producer of the run.
  bool is_busy(const std::string& run_dir) const;
  // The run is closed.
  void forget(const std::string& run_dir);

  // The thread's body, until stop(), which gives up what is under way.
  void run();
  void stop();

 private:
  using Key = std::pair<std::string, uint32_t>;  // run directory, producer
  struct File {
    record::FileFacts facts{};
    shm::FileStamp seen{};  // at the last look
    shm::FileStamp copied{};
    int64_t changing_since_ms = 0;  // 0: it stood still
    int64_t next_ms = 0;            // when to look again
  };
  struct Owner {
    uint32_t producer = 0;
    std::shared_ptr<Stream> stream;  // nullptr: all is done
    std::shared_ptr<Port> port;      // nullptr: nobody to tell
    std::vector<File> files;
    bool is_done = false;
    KeptFiles result{};
  };

  bool is_stopping() const { return is_stopping_.load(std::memory_order_relaxed); }
  void add(Owner& owner, record::FileFacts facts);
  void look(const Owner& owner, File& file, int64_t now_ms);
  Status copy(const Owner& owner, File& file, uint64_t& bytes_left);
  void fail(const Owner& owner, File& file, const Error& why);
  void finish(const Key& key, Owner& owner);
  void finish_file(Owner& owner, File& file, uint64_t& bytes_left);
  static void tell_left(const Owner& owner, uint64_t bytes);
  int64_t next_look_ms() const;

  const Clock& clock_;
  const Report report_;
  TaskQueue queue_;
  std::atomic<bool> is_stopping_{false};  // a flag by itself, it publishes nothing

  mutable std::mutex mutex_;
  std::map<Key, bool> known_;  // guarded by mutex_; false: all is in its final state

  // The keeper's thread.
  std::map<Key, Owner> owners_;
};

}  // namespace ringlog::service
