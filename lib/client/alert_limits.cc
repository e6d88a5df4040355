#include "client/alert_limits.h"

#include <utility>

namespace ringlog::client {

std::optional<AlertLimits::Turn> AlertLimits::take(std::string_view title,
                                                   std::chrono::nanoseconds min_interval,
                                                   int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  const auto found = titles_.find(title);
  if (found == titles_.end()) {
    if (titles_.size() < kTitlesMax) titles_.emplace(title, Last{now_ns, 0});
    return Turn{};
  }
  Last& last = found->second;
  if (last.time_ns && now_ns - *last.time_ns < min_interval.count()) {
    ++last.held;
    return std::nullopt;
  }
  const bool is_retry = !last.time_ns;
  last.time_ns = now_ns;
  return Turn{std::exchange(last.held, 0), is_retry};
}

void AlertLimits::put_back(std::string_view title, const Turn& turn) {
  const std::lock_guard lock(mutex_);
  const auto found = titles_.find(title);
  if (found == titles_.end()) return;
  found->second.time_ns.reset();
  found->second.held += turn.held + 1;
}

}  // namespace ringlog::client
