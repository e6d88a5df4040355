#pragma once
// WandbPace: when the next file_stream request of a run may go out, by the rules of W&B's own
// client: one in a while, at once when there is more than one request holds or the run has ended, a
// sign of life when there was nothing to say for longer, and never faster than the server's
// RateLimit headers allow.
//
// A value of the network thread; times are monotonic, in milliseconds.

#include <cstdint>
#include <optional>

namespace ringlog::service {

class WandbPace {
 public:
  WandbPace(int64_t interval_ms, int64_t heartbeat_ms)
      : interval_ms_(interval_ms), heartbeat_ms_(heartbeat_ms) {}

  struct Wish {
    bool has_lines = false;
    bool is_urgent = false;
    bool is_running = false;
  };
  // The time of the next request; nothing: there is no reason for one.
  std::optional<int64_t> next_ms(const Wish& wish) const;
  void sent(int64_t now_ms) { sent_ms_ = now_ms; }
  // What the headers of an answer said; negative: nothing.
  void answered(double limit_remaining, int64_t limit_reset_ms, int64_t now_ms);

 private:
  int64_t interval_ms_;
  int64_t heartbeat_ms_;
  std::optional<int64_t> sent_ms_;  // the last request
  int64_t open_ms_ = 0;             // by the server's limit
};

}  // namespace ringlog::service
