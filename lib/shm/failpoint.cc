#include "shm/failpoint.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <string_view>

namespace ringlog::shm {

namespace {

struct Armed {
  std::string_view name;  // of the environment; empty: none
  int count = 1;
};

// Without an allocation, because a place may be reached in a signal handler.
const Armed& armed() {
  static const Armed value = [] {
    const char* const text = ::getenv("RINGLOG_FAILPOINT");
    if (text == nullptr) return Armed{};
    const char* const colon = ::strchr(text, ':');
    if (colon == nullptr) return Armed{text, 1};
    return Armed{{text, static_cast<size_t>(colon - text)}, ::atoi(colon + 1)};
  }();
  return value;
}

}  // namespace

void reach_failpoint(const char* name) {
  if (armed().name.empty() || armed().name != name) return;
  static std::atomic<int> reached{0};
  if (reached.fetch_add(1, std::memory_order_relaxed) + 1 == armed().count) {
    ::kill(::getpid(), SIGKILL);
  }
}

}  // namespace ringlog::shm
