#pragma once
// AlertLimits: keeps a program that alerts in every step from drowning its people.
//
// Any thread; guarded by one mutex of this process.

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace ringlog::client {

class AlertLimits {
 public:
  // Titles that are remembered; what comes above is not held back.
  static constexpr size_t kTitlesMax = 1000;

  // Around fork(), so that the child finds the list whole and nobody at it.
  void lock_for_fork() { mutex_.lock(); }
  void unlock_after_fork() { mutex_.unlock(); }

  // An alert that goes out.
  struct Turn {
    uint64_t held = 0;      // of its title, since the last one that went out
    bool is_retry = false;  // the one before could not be handed on: nobody need wait for this one
    bool operator==(const Turn&) const = default;
  };
  // Nothing: an alert of this title is held back.
  std::optional<Turn> take(std::string_view title, std::chrono::nanoseconds min_interval,
                           int64_t now_ns);
  // The alert that take() let out could not be handed on: the next one goes out at once and counts
  // it as held back.
  void put_back(std::string_view title, const Turn& turn);

 private:
  struct Last {
    std::optional<int64_t> time_ns;  // nothing: it could not be handed on
    uint64_t held;
  };
  std::mutex mutex_;
  std::map<std::string, Last, std::less<>> titles_;  // guarded by mutex_
};

}  // namespace ringlog::client
