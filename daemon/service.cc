#include "daemon/service.h"

#include "daemon/leftovers.h"
#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/thread.h"
#include "store/background.h"

#include <ringlog/version.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace ringlog::service {

namespace {

void join(std::jthread& thread) {
  if (thread.joinable()) thread.join();
}

uint32_t epoch_of(const shm::Doorbell& doorbell) {
  return doorbell.page().epoch.load(std::memory_order_relaxed);
}

}  // namespace

Result<std::unique_ptr<Service>> Service::start(const RuntimeDir& place,
                                                const ServiceConfig& config) {
  auto doorbell = shm::Doorbell::create(place.path + "/doorbell");
  if (!doorbell) return doorbell.take_error();
  std::unique_ptr<Service> service(new Service(place, config, std::move(*doorbell)));
  if (Status s = service->start_threads(); !s) return s.take_error();
  if (Status s = service->listen(); !s) return s.take_error();
  return service;
}

Service::Service(const RuntimeDir& place, const ServiceConfig& config,
                 std::unique_ptr<shm::Doorbell> doorbell)
    : place_(place),
      is_guest_(config.is_guest),
      doorbell_(std::move(doorbell)),
      loop_(config.is_guest ? Signals::kLeave : Signals::kTake),
      network_(clock_),
      files_(clock_,
             [this](const std::shared_ptr<Stream>& stream, uint32_t producer,
                    const record::FileFacts& file) {
               drain_.post([stream, producer, file] { stream->intake.add_file(producer, file); });
             }),
      drain_(doorbell_->page(), clock_),
      writer_(clock_, large_, network_, files_,
              [this](std::shared_ptr<Stream> stream, std::unique_ptr<Batch> batch) {
                auto box = std::make_shared<std::unique_ptr<Batch>>(std::move(batch));
                drain_.post(
                    [stream = std::move(stream), box] { stream->intake.confirm(std::move(*box)); });
              }),
      monitor_(config.monitor, clock_,
               [this](const std::shared_ptr<Stream>& stream, store::Stats stats) {
                 auto box = std::make_shared<store::Stats>(std::move(stats));
                 drain_.post([stream, box] { stream->intake.add_stats(std::move(*box)); });
               }),
      notes_(unsent_folder(place.in_process), place.path),
      backlog_(clock_, static_cast<uint64_t>(shm::monotonic_ns())),
      mux_({.loop = loop_,
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
            .segments = place.segments,
            .epoch = epoch_of(*doorbell_),
            .runtime_dir = place.path,
            .unsent_stay_ms = config.unsent_stay_ms,
            .take_over = [this] { adopt(take_over_leftovers(place_)); }}),
      server_(loop_, mux_, clock_,
              {.runtime_dir_fd = place.dir.get(),
               .runtime_dir = place.path,
               .doorbell_fd = doorbell_->fd(),
               .epoch = epoch_of(*doorbell_),
               .started_ns = clock_.realtime_ns(),
               .log_path = place.path + "/service.log",
               .idle_exit_ms = config.idle_exit_ms}) {
  drain_.on_due([this](std::shared_ptr<Stream> stream, std::unique_ptr<Batch> batch) {
    writer_.submit(std::move(stream), std::move(batch));
  });
  network_.on_progress([this](const std::shared_ptr<Stream>& stream, store::Cursors sent,
                              uint32_t state, std::vector<std::function<void()>> then) {
    drain_.post([stream, sent = std::move(sent), state, then = std::move(then)] {
      stream->intake.publish_sent(sent, state);
      for (const auto& answer : then) answer();
    });
  });
  network_.on_stop([this](const std::string& dir) {
    loop_.post([this, dir] { mux_.request_stop({.dir = dir}, [](const Result<Done>&) {}); });
  });
}

Service::~Service() { end_threads(); }

// All of them before anybody hears of the service, which could answer nobody without one.
Status Service::start_threads() {
  struct Start {
    std::jthread& thread;
    const char* name;
    std::function<void()> body;
  };
  for (const auto& [thread, name, body] : {
           Start{network_thread_, "network", [this] { network_.run(); }},
           Start{open_thread_, "open", [this] { opener_.run(); }},
           Start{tidy_thread_, "tidy", [this] { tidier_.run(); }},
           Start{files_thread_, "files", [this] { files_.run(); }},
           Start{store_thread_, "store", [this] { writer_.run(); }},
           Start{drain_thread_, "drain", [this] { drain_.run(); }},
       }) {
    auto started = start_thread(name, body);
    if (!started) return started.take_error();
    thread = std::move(*started);
  }
  // LevelDB's own comes with the first compaction, and an exception with the one that fails.  Who
  // runs a guest has seen to it.
  return is_guest_ ? Status(Done{}) : store::own_background_thread();
}

// Each stage before the one it gives to.
void Service::end_threads() {
  opener_.stop();
  files_.stop();
  join(files_thread_);
  drain_.stop();
  join(drain_thread_);
  writer_.stop();
  join(store_thread_);
  tidier_.stop();
  join(tidy_thread_);
  diffs_.stop();
  network_.stop();
  join(network_thread_);
  // Last: it may be at a large store, and what is committed does not wait for that.
  join(open_thread_);
}

Status Service::listen() {
  log().info("ringlogd {} pid {} epoch {} in {}", RINGLOG_VERSION, ::getpid(), epoch_of(*doorbell_),
             place_.path);
  if (!place_.notice.empty()) log().warn("{}", place_.notice);
  auto found = find_segments(place_.segments);
  if (!found) return found.take_error();
  adopt(std::move(*found));
  // One in a program ends with it; what it leaves is for the others.
  if (!is_guest_) {
    for (const UnsentRun& run : notes_.read()) mux_.add_unsent(run);
  }
  look_for_leftovers();
  if (Status s = server_.listen(); !s) return s;
  loop_.on_terminate([this] { stop(); });
  return Done{};
}

// Segments that could not be read wait in their folder, those whose run could not be opened in the
// mux.
void Service::adopt(FoundSegments found) {
  const bool is_whole = found.unread.empty();
  mux_.await(std::move(found.unread));
  for (FoundSegment& segment : found.segments) mux_.adopt(std::move(segment));
  if (!is_whole) look_again();
}

void Service::look_again() {
  if (std::exchange(is_looking_again_, true)) return;
  loop_.after(kOrphanRetryMs, [this] {
    is_looking_again_ = false;
    auto again = find_segments(place_.segments,
                               [this](const std::string& uuid) { return mux_.has_segment(uuid); });
    if (!again) {
      log().error("segments are looked for again: {}", again.error().message);
      return look_again();
    }
    mux_.forget_awaited();
    adopt(std::move(*again));
  });
}

// What programs left that had a service of their own and were killed, and what nobody sends.
void Service::look_for_leftovers() {
  adopt(take_over_leftovers(place_));
  for (const UnsentRun& run : is_guest_ ? std::vector<UnsentRun>() : notes_.read()) {
    // What it noted itself it knows, and that a sink has refused.
    if (run.service != place_.path) mux_.add_unsent(run);
  }
  loop_.after(kLeftoversLookMs, [this] { look_for_leftovers(); });
}

void Service::stop() {
  loop_.post([this] {
    log().info("storing what is committed, then ending");
    server_.close();
    const auto end = [this] { mux_.drain_all([this] { loop_.exit(); }); };
    if (is_guest_) return mux_.leave_process(end);
    end();
  });
}

void Service::run() {
  loop_.run();
  server_.close();
  end_threads();
  log().info("ringlogd pid {} ends", ::getpid());
}

}  // namespace ringlog::service
