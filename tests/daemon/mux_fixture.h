#pragma once
// A StreamMux with the threads it gives work to.  The test is the control thread: its loop runs
// only when the test says so, and its clock stands still.

#include "daemon/stream_mux.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon_fixture.h"
#include "row_store.h"
#include "store/reader.h"
#include "watchdog.h"

namespace ringlog::service {

// For all threads.
class SharedClock final : public Clock {
 public:
  int64_t monotonic_ms() const override { return now_ms; }
  int64_t realtime_ns() const override { return now_ms * 1'000'000; }
  std::atomic<int64_t> now_ms{1'000'000};
};

class ManualLoop final : public Loop {
 public:
  explicit ManualLoop(SharedClock& clock) : clock_(clock) {}

  void post(std::function<void()> task) override {
    {
      const std::lock_guard lock(mutex_);
      posted_.push_back(std::move(task));
    }
    changed_.notify_one();
  }
  void after(int64_t delay_ms, std::function<void()> task) override {
    timers_.emplace(clock_.now_ms + delay_ms, std::move(task));
  }
  std::unique_ptr<Watch> when_readable(int fd, std::function<void()> ready) override {
    watches_[fd] = std::move(ready);
    return std::make_unique<ManualWatch>(*this, fd);
  }

  // Runs what is posted until `is_done`.
  template <typename Done>
  void run_until(Done is_done) {
    while (!is_done()) {
      std::vector<std::function<void()>> now;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !posted_.empty(); });
        now.swap(posted_);
      }
      for (const auto& task : now) task();
    }
  }
  // Runs what is posted now.
  void run() {
    std::vector<std::function<void()>> now;
    {
      const std::lock_guard lock(mutex_);
      now.swap(posted_);
    }
    for (const auto& task : now) task();
  }
  void advance(int64_t ms) {
    clock_.now_ms += ms;
    while (!timers_.empty() && timers_.begin()->first <= clock_.now_ms) {
      const auto task = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      task();
    }
  }

  // All descriptors become readable.
  void fire_watches() {
    for (const auto& [fd, ready] : std::map(watches_)) ready();
  }

 private:
  struct ManualWatch final : Watch {
    ManualWatch(ManualLoop& of, int watched) : loop(of), fd(watched) {}
    ~ManualWatch() override { loop.watches_.erase(fd); }
    ManualLoop& loop;
    const int fd;
  };
  SharedClock& clock_;
  std::map<int, std::function<void()>> watches_;
  std::multimap<int64_t, std::function<void()>> timers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
};

class MuxTest : public ::testing::Test {
 protected:
  MuxTest() {
    drain_.on_due([this](std::shared_ptr<Stream> stream, std::unique_ptr<Batch> batch) {
      writer_.submit(std::move(stream), std::move(batch));
    });
    threads_[0] = std::thread([this] { network_.run(); });
    threads_[1] = std::thread([this] { tidier_.run(); });
    threads_[2] = std::thread([this] { writer_.run(); });
    threads_[3] = std::thread([this] { drain_.run(); });
    threads_[4] = std::thread([this] { opener_.run(); });
    threads_[5] = std::thread([this] { files_.run(); });
  }
  ~MuxTest() override {
    opener_.stop();
    threads_[4].join();
    files_.stop();
    threads_[5].join();
    drain_.stop();
    threads_[3].join();
    writer_.stop();
    threads_[2].join();
    tidier_.stop();
    threads_[1].join();
    network_.stop();
    threads_[0].join();
  }

  std::string dir_of(const std::string& run_id) const { return root_ + "/project/" + run_id; }
  RunSpec spec_of(const std::string& run_id) const {
    RunSpec spec;
    spec.run_id = run_id;
    spec.project = "project";
    spec.root = root_;
    spec.producer.rank = -1;
    spec.producer.attempt = -1;
    spec.producer.ring_bytes = shm::kRingBytesMin;
    spec.monitor_ms = -1;
    return spec;
  }
  static Peer peer() { return peer_of(::getpid()); }
  static Peer peer_of(pid_t pid) {
    Peer peer;
    peer.pid = pid;
    peer.uid = ::geteuid();
    auto start = shm::process_start_time(peer.pid);
    EXPECT_THAT(start, IsOk());
    peer.pid_start = *start;
    auto pidfd = open_pidfd(peer.pid, peer.pid_start);
    EXPECT_THAT(pidfd, IsOk());
    peer.pidfd = std::make_shared<shm::Fd>(std::move(*pidfd));
    return peer;
  }
  // Runs the loop until a request is answered.
  template <typename T, typename Ask>
  Result<T> ask(Ask request) {
    std::unique_ptr<Result<T>> answer;
    request([&](Result<T> reply) { answer = std::make_unique<Result<T>>(std::move(reply)); });
    loop_.run_until([&] { return answer != nullptr; });
    return std::move(*answer);
  }
  Result<Attached> join(const std::string& run_id) { return join(run_id, peer()); }
  Result<Attached> join(const std::string& run_id, const Peer& peer) {
    return ask<Attached>(
        [&](auto reply) { mux_.inform_init(spec_of(run_id), peer, std::move(reply)); });
  }
  Result<std::vector<RunStatus>> barrier(const std::string& run_id) {
    return ask<std::vector<RunStatus>>(
        [&](auto reply) { mux_.query({.dir = dir_of(run_id)}, true, std::move(reply)); });
  }
  // Nothing is left to be stored of a run that was opened: with the first answer a process that the
  // store takes for running, and that is gone, is known to be, and with the second its end is
  // there.
  void settle(const std::string& run_id) {
    for (int i = 0; i < 2; ++i) EXPECT_THAT(barrier(run_id), IsOk());
  }
  std::vector<store::LedgerEntry> ledger(const std::string& run_id) {
    auto reader = store::RunReader::open(dir_of(run_id));
    EXPECT_THAT(reader, IsOk());
    auto entries = (*reader)->ledger();
    EXPECT_THAT(entries, IsOk());
    return *entries;
  }
  // It did what it was given.
  template <typename Thread>
  static void wait_for(Thread& thread) {
    std::promise<void> done;
    thread.post([&done] { done.set_value(); });
    done.get_future().wait();
  }
  // All did, and the drain thread has looked at all rings since.
  void wait_for_threads() {
    wait_for(network_);
    wait_for(drain_);
    wait_for(drain_);
    wait_for(writer_);
    wait_for(drain_);
  }
  // What an earlier service made for this process and did not live to store.
  shm::CreatedSegment make_segment(const std::string& run_id, uint32_t producer) {
    shm::SegmentSpec segment;
    segment.run_id = run_id;
    segment.project = "project";
    segment.root = root_;
    segment.producer_id = producer;
    segment.pid = peer().pid;
    segment.pid_start = peer().pid_start;
    segment.first_ring_bytes = segment.later_ring_bytes = shm::kRingBytesMin;
    auto created = shm::create_segment({segments_}, segment);
    EXPECT_THAT(created, IsOk());
    return std::move(*created);
  }

  const test::Watchdog watchdog_;
  test::TempDir dir_{"/dev/shm"};
  const std::string root_ = dir_.file("runs");
  const std::string segments_ = dir_.file("segments");
  const bool has_segments_ = ::mkdir(segments_.c_str(), 0700) == 0;
  SharedClock clock_;
  std::unique_ptr<shm::Doorbell> doorbell_ = std::move(*shm::Doorbell::create(dir_.file("bell")));
  ManualLoop loop_{clock_};
  LargeReplies large_;
  Network network_{clock_};
  FileKeeper files_{
      clock_, [this](const std::shared_ptr<Stream>& stream, uint32_t producer,
                     const record::FileFacts& file) {
        drain_.post([stream, producer, file] { stream->intake.add_file(producer, file); });
      }};
  Drain drain_{doorbell_->page(), clock_};
  Writer writer_{clock_, large_, network_, files_,
                 [this](const std::shared_ptr<Stream>& stream, std::unique_ptr<Batch> batch) {
                   auto box = std::make_shared<std::unique_ptr<Batch>>(std::move(batch));
                   drain_.post([stream, box] { stream->intake.confirm(std::move(*box)); });
                 }};
  Opener opener_;
  Tidier tidier_;
  DiffKeeper diffs_;
  Monitor monitor_{{}, clock_, [](const std::shared_ptr<Stream>&, const store::Stats&) {}};
  const UnsentNotes notes_{"", dir_.path()};
  Backlog backlog_{clock_, 1};
  StreamMux mux_{{.loop = loop_,
                  .opener = opener_,
                  .drain = drain_,
                  .writer = writer_,
                  .network = network_,
                  .tidier = tidier_,
                  .diffs = diffs_,
                  .files = files_,
                  .large = large_,
                  .monitor = monitor_,
                  .backlog = backlog_,
                  .notes = notes_,
                  .clock = clock_,
                  .segments = {segments_}}};
  std::thread threads_[6];
};

}  // namespace ringlog::service
