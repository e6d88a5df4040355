#pragma once
// Monitor: the thread that samples the machine, for all runs at once.
//
//   Monitor monitor(places, clock, store);
//   monitor.add(stream);     // the first one starts the thread, the next one if that fails
//   monitor.remove(stream);  // the last one ends it
//
// A run is sampled while a process is attached to it, in the interval that its settings ask for;
// during a burst more often, also when the settings ask for nothing.
// Samples are collected and given to `store` together: ten seconds of them, when their names
// change, and whenever somebody flushes.  The thread touches no store: what it gives out goes the
// way of all rows, over the drain thread (Intake::add_stats).
//
// add(), remove(), burst(), flush() from the control thread; they take a mutex for microseconds.
// `store` is called on the control thread and on the monitor's.

#include "daemon/clock.h"
#include "daemon/monitor/places.h"
#include "daemon/monitor/run_sampler.h"
#include "daemon/monitor/sampler.h"
#include "daemon/stream.h"

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace ringlog::service {

class Monitor {
 public:
  using Store = std::function<void(const std::shared_ptr<Stream>&, store::Stats)>;

  Monitor(MonitorPlaces places, const Clock& clock, Store store);
  // Ends the thread.
  ~Monitor();
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  void add(std::shared_ptr<Stream> stream);
  void remove(const Stream& stream);
  // Samples a run each `interval_ms` for `time_ms` from now on; replaces an earlier burst.  Nothing
  // for a run that was not added.
  void burst(const Stream& stream, int64_t interval_ms, int64_t time_ms);
  // Gives out what was sampled and not given out; without a stream: of all.
  void flush(const Stream* stream = nullptr);

 private:
  // A run that is open.
  struct Watched {
    std::shared_ptr<Stream> stream;
    // Guarded by mutex_.
    int64_t next_ms = 0;
    int64_t burst_interval_ms = 0;
    int64_t burst_end_ms = 0;  // until then that interval
    store::Stats pending;
    // The monitor's thread only.
    std::unique_ptr<RunSampler> sampler;
    int64_t last_ms = 0;
    bool has_stored = false;
  };

  void run();
  void sample_until_idle(Sampler& sampler, std::unique_lock<std::mutex>& lock);
  void sample_due(Sampler& sampler, int64_t now_ms, std::unique_lock<std::mutex>& lock);
  static int64_t interval_of(const Watched& watched, int64_t now_ms);
  void sample_one(Watched& watched, const MachineMoment& moment, int64_t now_ms,
                  int64_t interval_ms);
  void collect(Watched& watched, RunSample sample, int64_t interval_ms);
  void give_out(Watched& watched);
  int64_t next_ms() const;

  const MonitorPlaces places_;
  const Clock& clock_;
  const Store store_;
  std::jthread thread_;  // control thread
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::map<const Stream*, std::shared_ptr<Watched>> runs_;
  bool is_running_ = false;  // the thread has not decided to end
};

}  // namespace ringlog::service
