#include "daemon/monitor/monitor.h"

#include <algorithm>
#include <condition_variable>
#include <limits>
#include <utility>

#include "daemon/log.h"
#include "daemon/thread.h"

namespace ringlog::service {

namespace {

std::vector<RunProcess> attached_to(const Stream& stream) {
  std::vector<RunProcess> attached;
  for (const RunningProcess& process : stream.board.running()) {
    attached.push_back({process.pid, process.pid_start, process.rank, process.local_rank});
  }
  return attached;
}

}  // namespace

Monitor::Monitor(MonitorPlaces places, const Clock& clock, Store store)
    : places_(std::move(places)), clock_(clock), store_(std::move(store)) {}

Monitor::~Monitor() {
  {
    const std::lock_guard lock(mutex_);
    runs_.clear();
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Monitor::add(std::shared_ptr<Stream> stream) {
  std::unique_lock lock(mutex_);
  auto watched = std::make_shared<Watched>();
  watched->stream = std::move(stream);
  runs_[watched->stream.get()] = watched;
  changed_.notify_all();
  if (is_running_) return;
  // It has left its loop for good, so this does not wait for a sample.
  lock.unlock();
  if (thread_.joinable()) thread_.join();
  lock.lock();
  auto thread = start_thread("monitor", [this] { run(); });
  if (!thread) {
    return log().error("the machine is not sampled before another run comes: {}",
                       thread.error().message);
  }
  is_running_ = true;
  thread_ = std::move(*thread);
}

void Monitor::remove(const Stream& stream) {
  const std::lock_guard lock(mutex_);
  runs_.erase(&stream);
  changed_.notify_all();
}

void Monitor::burst(const Stream& stream, int64_t interval_ms, int64_t time_ms) {
  const std::lock_guard lock(mutex_);
  const auto found = runs_.find(&stream);
  if (found == runs_.end()) return;
  Watched& watched = *found->second;
  watched.burst_interval_ms = interval_ms;
  watched.burst_end_ms = clock_.monotonic_ms() + time_ms;
  watched.next_ms = 0;
  changed_.notify_all();
}

// 0: the run wants no samples.
int64_t Monitor::interval_of(const Watched& watched, int64_t now_ms) {
  if (now_ms < watched.burst_end_ms) return watched.burst_interval_ms;
  const int32_t asked = watched.stream->board.monitor_ms();
  if (asked < 0) return 0;
  return asked == 0 ? kMonitorIntervalMs : asked;
}

void Monitor::flush(const Stream* stream) {
  const std::lock_guard lock(mutex_);
  for (const auto& [of, watched] : runs_) {
    if (stream == nullptr || of == stream) give_out(*watched);
  }
}

// With the mutex held, so that samples of one run are given out in their order.
void Monitor::give_out(Watched& watched) {
  if (watched.pending.empty()) return;
  store_(watched.stream, std::exchange(watched.pending, {}));
}

int64_t Monitor::next_ms() const {
  int64_t next = std::numeric_limits<int64_t>::max();
  for (const auto& [stream, watched] : runs_) next = std::min(next, watched->next_ms);
  return next;
}

void Monitor::run() {
  std::unique_lock lock(mutex_);
  do {
    // It loads a driver's library and closes it, which takes its time: nobody waits for that.
    lock.unlock();
    auto sampler = std::make_unique<Sampler>(places_);
    lock.lock();
    sample_until_idle(*sampler, lock);
    lock.unlock();
    sampler.reset();
    lock.lock();
  } while (!runs_.empty());
  is_running_ = false;
}

void Monitor::sample_until_idle(Sampler& sampler, std::unique_lock<std::mutex>& lock) {
  while (!runs_.empty()) {
    const int64_t now = clock_.monotonic_ms();
    const int64_t next = next_ms();
    if (next <= now) {
      sample_due(sampler, now, lock);
    } else {
      changed_.wait_for(lock, std::chrono::milliseconds(next - now));
    }
  }
}

void Monitor::sample_due(Sampler& sampler, int64_t now_ms, std::unique_lock<std::mutex>& lock) {
  std::vector<std::pair<std::shared_ptr<Watched>, int64_t>> due;  // and their intervals
  for (const auto& [stream, watched] : runs_) {
    if (watched->next_ms > now_ms) continue;
    // In step with all others of its interval, so that the machine is read once for them.
    const int64_t interval = interval_of(*watched, now_ms);
    const int64_t step = interval == 0 ? kMonitorIntervalMs : interval;
    watched->next_ms = (now_ms / step + 1) * step;
    if (interval != 0) due.emplace_back(watched, interval);
  }
  if (due.empty()) return;
  lock.unlock();
  const MachineMoment moment = sampler.look(now_ms * 1'000'000);
  for (const auto& [watched, interval] : due) sample_one(*watched, moment, now_ms, interval);
  due.clear();  // a stream's last holder may be here, and it goes without our mutex
  lock.lock();
}

void Monitor::sample_one(Watched& watched, const MachineMoment& moment, int64_t now_ms,
                         int64_t interval_ms) {
  // Rates over less than half an interval say little.
  if (watched.last_ms != 0 && now_ms - watched.last_ms < interval_ms / 2) return;
  const std::vector<RunProcess> attached = attached_to(*watched.stream);
  if (attached.empty()) {
    watched.sampler.reset();
    const std::lock_guard lock(mutex_);
    return give_out(watched);
  }
  if (!watched.sampler) {
    watched.sampler = std::make_unique<RunSampler>(places_, watched.stream->info.dir);
  }
  watched.last_ms = now_ms;
  RunSample sample = watched.sampler->take(moment, attached);
  if (!sample.empty()) collect(watched, std::move(sample), interval_ms);
}

void Monitor::collect(Watched& watched, RunSample sample, int64_t interval_ms) {
  const int64_t time_ns = clock_.realtime_ns();
  const std::lock_guard lock(mutex_);
  store::Stats& pending = watched.pending;
  if (pending.names != sample.names || pending.gpus != sample.gpus) {
    give_out(watched);
    pending.names = std::move(sample.names);
    pending.gpus = std::move(sample.gpus);
  }
  pending.times_ns.push_back(time_ns);
  pending.values.insert(pending.values.end(), sample.values.begin(), sample.values.end());
  const int64_t span_ns = time_ns - pending.times_ns.front() + interval_ms * 1'000'000;
  // The first is stored at once, so that there is something to see.
  const bool is_first = !std::exchange(watched.has_stored, true);
  if (is_first || span_ns >= kMonitorStoreMs * 1'000'000 || span_ns < 0) give_out(watched);
}

}  // namespace ringlog::service
