#pragma once
// Writer: the store thread.
//
// Writes batches into their runs' stores, then gives the room back to the producers, publishes how
// far they are stored, and answers requests.  Nothing is answered or given back before the write
// that covers it returned.  A write that fails is tried again every second, and only its own run
// waits; the rings of that run fill up meanwhile and its producers do what their settings say.
//
// submit() and post() from any thread; everything else on the store thread.

#include "daemon/batch.h"
#include "daemon/clock.h"
#include "daemon/file_keeper.h"
#include "daemon/large_replies.h"
#include "daemon/network.h"
#include "daemon/stream.h"
#include "daemon/task_queue.h"

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <set>

namespace ringlog::service {

class Writer {
 public:
  // `stored` takes each batch back after it is written; it runs on the store thread.
  using Stored = std::function<void(std::shared_ptr<Stream>, std::unique_ptr<Batch>)>;

  Writer(const Clock& clock, LargeReplies& large, Network& network, FileKeeper& files,
         Stored stored)
      : clock_(clock),
        large_(large),
        network_(network),
        files_(files),
        stored_(std::move(stored)) {}
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // A run's next batch; only after the one before came back.
  void submit(std::shared_ptr<Stream> stream, std::unique_ptr<Batch> batch);
  // Something that touches a store or the disk.
  void post(TaskQueue::Task task) { queue_.post(std::move(task)); }

  // Syncs a run's store and takes it from the stream; in a task of post().  Nobody else uses the
  // stream any more.
  std::unique_ptr<store::Store> release(Stream& stream);

  // The thread's body, until stop(): then what was submitted is tried once more, and everything
  // written is synced.
  void run();
  void stop() { queue_.stop(); }

 private:
  struct Pending {
    std::shared_ptr<Stream> stream;
    std::unique_ptr<Batch> batch;
    int64_t next_try_ms = 0;
  };
  bool write(Pending& pending);
  void fail(Pending& pending, const Error& why);
  void finish(Pending& pending, bool was_synced);
  void give_back(const Batch& batch, Stream& stream, bool was_synced);
  void answer(const std::shared_ptr<Stream>& stream, const Batch& batch, const Answer& answer);
  void answer_finish(const std::shared_ptr<Stream>& stream, const Answer& answer,
                     const Progress& progress);
  void answer_flush(const std::shared_ptr<Stream>& stream, const Answer& answer,
                    const Progress& progress);
  void sync_due(bool all);
  bool sync(Stream& stream);
  void retry_due(bool all);
  int64_t next_ms() const;

  const Clock& clock_;
  LargeReplies& large_;
  Network& network_;
  FileKeeper& files_;
  const Stored stored_;
  TaskQueue queue_;
  // Store thread.
  std::list<Pending> failing_;
  std::set<std::shared_ptr<Stream>> unsynced_;
};

}  // namespace ringlog::service
