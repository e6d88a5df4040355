#include "daemon/sinks/wandb_pace.h"

#include <algorithm>

#include "daemon/limits.h"

namespace ringlog::service {

std::optional<int64_t> WandbPace::next_ms(const Wish& wish) const {
  if (wish.has_lines) {
    const bool is_free = wish.is_urgent || !sent_ms_;
    return std::max(open_ms_, is_free ? 0 : *sent_ms_ + interval_ms_);
  }
  if (wish.is_running && sent_ms_) return std::max(open_ms_, *sent_ms_ + heartbeat_ms_);
  return {};
}

void WandbPace::answered(double limit_remaining, int64_t limit_reset_ms, int64_t now_ms) {
  if (limit_remaining < 0 || limit_reset_ms < 0) return;
  // What is left is spread over the time until there is more.
  const double gap_ms = static_cast<double>(limit_reset_ms) / std::max(limit_remaining, 1.0);
  const bool is_used_up = limit_remaining < 1;
  open_ms_ = now_ms +
             (is_used_up ? limit_reset_ms : std::min(static_cast<int64_t>(gap_ms), kWandbGapMaxMs));
}

}  // namespace ringlog::service
