#include "cli/sync_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/format.h"

namespace ringlog::cli {

namespace {

// Opening a store whose service died takes a tenth of a second, and what is committed is stored
// before the answer, for which the service gives itself five seconds.
constexpr std::chrono::milliseconds kBeginWait{30'000};

RunPath path_of(const store::RunPlace& place) {
  const size_t tail = place.project.size() + place.run_id.size() + 2;
  return {place.dir.substr(0, place.dir.size() - tail), place.project, place.run_id};
}

bool is_connection_lost(const Error& error) {
  return error.code == Code::kServiceGone || error.code == Code::kTimeout;
}

}  // namespace

SyncJob::SyncJob(store::RunPlace place, std::vector<std::string> sinks, Wish wish)
    : place_(std::move(place)), urls_(std::move(sinks)), wish_(wish) {}

Status SyncJob::step(client::ControlClient& service, int64_t now_ns) {
  if (progress_ns_ == 0) progress_ns_ = now_ns;
  auto run = state_ == State::kWaiting ? ask_sync(service, path_of(place_), urls_, kBeginWait)
                                       : ask_run(service, place_.dir, kStatusWait);
  if (!run && is_connection_lost(run.error())) return run.take_error();
  if (state_ == State::kWaiting) {
    begin(run, now_ns);
  } else if (run) {
    update(*run, now_ns);
  } else {
    state_ = State::kWaiting;
  }
  if (!is_over() && now_ns - progress_ns_ > wish_.stall_ns) {
    fail(fmt::format("nothing was sent for {}{}{}", format_duration(wish_.stall_ns),
                     trouble_.empty() ? "" : ": ", trouble_));
  }
  if (!is_over()) return Done{};
  Status ended = end_sync(service, place_.dir, kStatusWait);
  return ended || !is_connection_lost(ended.error()) ? Status(Done{}) : std::move(ended);
}

void SyncJob::begin(const Result<LiveRun>& run, int64_t now_ns) {
  if (!run) {
    // Others will be closed; everything else does not get better by waiting.
    if (run.error().code != Code::kBackpressure) return fail(run.error().message);
    trouble_ = run.error().message;
    return;
  }
  looks_.clear();
  for (const LiveSink& sink : run->sinks) looks_[sink.url] = sink.looks_wanted;
  state_ = State::kSending;
  trouble_.clear();
  update(*run, now_ns);
}

void SyncJob::update(const LiveRun& run, int64_t now_ns) {
  stored_rows_ = run.stored_rows();
  sinks_.clear();
  for (const std::string& url : urls_) {
    const auto found = std::find_if(run.sinks.begin(), run.sinks.end(),
                                    [&](const LiveSink& sink) { return sink.url == url; });
    if (found == run.sinks.end()) return fail("the service does not know the sink " + url);
    sinks_.push_back(*found);
  }
  note_progress(now_ns);
  trouble_.clear();
  for (const LiveSink& sink : sinks_) {
    if (sink.state != "retrying" && sink.state != "refused") continue;
    if (!trouble_.empty()) trouble_ += "; ";
    trouble_ += fmt::format("{} is {}: {}", sink.url, sink.state, sink.last_error);
  }
  if (is_caught_up()) conclude(run);
}

void SyncJob::note_progress(int64_t now_ns) {
  uint64_t progress = 0;
  for (const LiveSink& sink : sinks_) {
    progress += sink.sent_rows + sink.left_out_rows + sink.looks_sent;
  }
  if (progress != std::exchange(progress_, progress)) progress_ns_ = now_ns;
}

// Each sink has everything, or wants nothing.
bool SyncJob::is_caught_up() const {
  return std::all_of(sinks_.begin(), sinks_.end(), [&](const LiveSink& sink) {
    const auto wanted = looks_.find(sink.url);
    return sink.state == "refused" || (wanted != looks_.end() && sink.looks_sent >= wanted->second);
  });
}

void SyncJob::conclude(const LiveRun& run) {
  const bool is_refused = std::all_of(sinks_.begin(), sinks_.end(),
                                      [](const LiveSink& sink) { return sink.state == "refused"; });
  if (wish_.is_following && !is_refused) {
    if (run.state == "running" || run.live_count() > 0) return;
    // What was logged last may have come after the look that was waited for.
    if (!std::exchange(is_last_round_, true)) {
      state_ = State::kWaiting;
      return;
    }
  }
  std::string why;
  for (const LiveSink& sink : sinks_) {
    if (sink.state != "refused" && sink.left_out_rows == 0) continue;
    if (!why.empty()) why += "; ";
    why += sink.state == "refused"
               ? fmt::format("sink {} refuses: {}", sink.url, sink.last_error)
               : fmt::format("sink {}: {} left out{}{}", sink.url,
                             format_plural(sink.left_out_rows, "row"),
                             sink.last_error.empty() ? "" : ": ", sink.last_error);
  }
  if (!why.empty()) return fail(why);
  state_ = State::kDelivered;
}

uint64_t SyncJob::done_rows() const {
  uint64_t rows = 0;
  for (const LiveSink& sink : sinks_) {
    rows += std::min(stored_rows_, sink.sent_rows + sink.left_out_rows);
  }
  return rows;
}

void SyncJob::lose_service() {
  if (!is_over()) state_ = State::kWaiting;
}

void SyncJob::fail(std::string why) {
  state_ = State::kFailed;
  trouble_ = std::move(why);
}

}  // namespace ringlog::cli
