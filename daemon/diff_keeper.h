#pragma once
// DiffKeeper: keeps what a run's git work tree had besides its commit, as files/diff.patch of the
// run.
//
//   keeper.keep(work_tree, run_dir);
//
// `git diff HEAD` is run at low priority, without taking git's locks, without programs that a
// configuration names, for at most kTimeLimitMs; the patch is at most kSizeLimit bytes.  A run that
// has a patch keeps it.  Without the program git or a thread, or when git refuses (another user's
// work tree), there is no patch, and the service's log says why.
//
// keep() and stop() from any thread.  The work is done one after another on a thread of this
// object, which starts with the first one, or with a later one if that fails.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include <ringlog/result.h>

#include "daemon/task_queue.h"

namespace ringlog::service {

class DiffKeeper {
 public:
  static constexpr int64_t kTimeLimitMs = 20'000;
  static constexpr size_t kSizeLimit = size_t{4} << 20;

  DiffKeeper() = default;
  ~DiffKeeper() { stop(); }
  DiffKeeper(const DiffKeeper&) = delete;
  DiffKeeper& operator=(const DiffKeeper&) = delete;

  void keep(const std::string& work_tree, const std::string& run_dir);
  // Gives up what is under way and waits for the thread.
  void stop();

 private:
  void run();
  Status write_diff(const std::string& work_tree, const std::string& run_dir);
  Result<std::string> run_git(const std::string& work_tree);
  // Reads the program's output until its end, the limits or stop().
  Result<std::string> read_output(int fd) const;

  TaskQueue queue_;
  std::atomic<bool> is_stopping_{false};  // a flag by itself, it publishes nothing
  std::mutex mutex_;
  std::jthread thread_;  // guarded by mutex_
};

}  // namespace ringlog::service
