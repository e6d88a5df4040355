#pragma once
// Opener: opens the stores of runs, on a thread of its own, so that one that is large, damaged or
// on a disk that hangs keeps no other run's rows from being stored.
//
// open(), stop() from any thread.

#include "daemon/task_queue.h"
#include "store/model.h"
#include "store/reader.h"
#include "store/store.h"

#include <ringlog/result.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ringlog::service {

// A run as it is found.
struct OpenedRun {
  std::unique_ptr<store::Store> store;
  std::optional<store::RunMeta> meta;  // nothing: it is new
  std::vector<store::ProducerState> producers;
  std::vector<store::KeySet> key_sets;
  store::SummaryFacts facts;          // what the live summary goes on from
  store::Cursors ends;                // behind the last row of each lane
  store::LastIds last_ids;            // that rows name; new ones are above them
  std::vector<store::RunFile> files;  // that an earlier service has not copied to the end
};

class Opener {
 public:
  using Opened = Result<std::shared_ptr<OpenedRun>>;
  using Done = std::function<void(Opened)>;

  Opener() = default;
  Opener(const Opener&) = delete;
  Opener& operator=(const Opener&) = delete;

  // Opens the run in `dir`, made if need be; `done` runs on the opener's thread.
  //   kIo, kPermission, kCorrupt, kVersion  as Store::open()
  void open(std::string dir, Done done);

  // The thread's body, until stop(): runs that still wait are not opened any more.
  void run();
  void stop();

 private:
  TaskQueue queue_;
  std::atomic<bool> is_stopping_{false};  // a flag by itself, it publishes nothing
};

}  // namespace ringlog::service
