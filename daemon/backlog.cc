#include "daemon/backlog.h"

#include "daemon/backoff.h"
#include "daemon/limits.h"
#include "daemon/log.h"

#include <algorithm>
#include <utility>

namespace ringlog::service {

namespace {

uint64_t sent_rows(const RunStatus& status) {
  uint64_t rows = 0;
  for (const SinkStatus& sink : status.sinks) rows += sink.sent_rows;
  return rows;
}

}  // namespace

Backlog::Place* Backlog::take(const std::string& dir) {
  const auto run = runs_.find(dir);
  if (run == runs_.end()) return nullptr;
  Place& place = places_[run->second.place];
  std::erase(place.waiting, dir);
  tried_ -= place.tried.erase(dir);
  return &place;
}

void Backlog::forget(const std::string& dir) {
  const auto run = runs_.find(dir);
  if (run == runs_.end()) return;
  const Place* const place = take(dir);
  if (place->waiting.empty() && place->tried.empty()) places_.erase(run->second.place);
  runs_.erase(run);
}

void Backlog::back_off(Place& place, int64_t not_before_ms) {
  place.is_good = false;
  ++place.failures;
  const int64_t now = clock_.monotonic_ms();
  place.next_try_ms = std::max(not_before_ms, now + backoff_ms(place.failures, random_));
}

void Backlog::add(Behind run) {
  progress_ms_ = clock_.monotonic_ms();
  const std::string dir = run.info.dir;
  forget(dir);
  places_[run.place].waiting.push_back(dir);
  runs_.emplace(dir, std::move(run));
}

void Backlog::park(Behind run, int64_t next_try_ms) {
  const std::string dir = run.info.dir;
  const auto before = runs_.find(dir);
  const bool was_tried = before != runs_.end();
  const bool has_progress = !was_tried || sent_rows(run.status) > sent_rows(before->second.status);
  if (has_progress) progress_ms_ = clock_.monotonic_ms();
  const std::string name = run.place;
  const bool is_first = !places_.contains(name);
  Place& place = places_[name];
  place.waiting.push_back(dir);  // before its old entry goes, and maybe the place with it
  if (was_tried && before->second.place == name) {
    tried_ -= place.tried.erase(dir);
    runs_.erase(before);
  } else {
    forget(dir);
  }
  runs_.emplace(dir, std::move(run));
  if (was_tried && has_progress) place.failures = 0;
  // Of a run that has just ended nothing is learnt that the one which is tried does not find out.
  if (was_tried || is_first) back_off(place, next_try_ms);
  if (!is_first) return;
  log().info("ended runs are closed though {} does not have all of them; they are tried on", name);
}

std::optional<RunInfo> Backlog::next() {
  if (tried_ >= kUnsentOpenMax) return {};
  const int64_t now = clock_.monotonic_ms();
  for (auto& [name, place] : places_) {
    if (place.waiting.empty() || now < place.next_try_ms) continue;
    if (!place.tried.empty() && !place.is_good) continue;
    const std::string dir = place.waiting.front();
    place.waiting.pop_front();
    place.tried.insert(dir);
    ++tried_;
    return runs_.at(dir).info;
  }
  return {};
}

void Backlog::settle(const std::string& dir) {
  Place* const place = take(dir);
  if (place == nullptr) return;
  progress_ms_ = clock_.monotonic_ms();
  place->is_good = true;
  place->failures = 0;
  place->next_try_ms = 0;
  forget(dir);
}

void Backlog::fail(const std::string& dir, const std::string& why) {
  const auto run = runs_.find(dir);
  if (run == runs_.end() || !places_[run->second.place].tried.contains(dir)) return;
  Place& place = *take(dir);
  back_off(place, 0);
  place.waiting.push_back(dir);
  for (SinkStatus& sink : run->second.status.sinks) sink.last_error = why;
}

void Backlog::leave(const std::string& dir) {
  if (!runs_.contains(dir)) return;
  progress_ms_ = clock_.monotonic_ms();
  forget(dir);
}

const RunStatus* Backlog::find(const std::string& dir) const {
  const auto run = runs_.find(dir);
  return run == runs_.end() || run->second.status.sinks.empty() ? nullptr : &run->second.status;
}

}  // namespace ringlog::service
