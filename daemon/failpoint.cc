#include "daemon/failpoint.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <string>

namespace ringlog::service {

namespace {

struct Armed {
  std::string name;
  int count = 1;
};

const Armed& armed() {
  static const Armed value = [] {
    const char* text = ::getenv("RINGLOG_FAILPOINT");
    if (text == nullptr) return Armed{};
    const std::string all = text;
    const size_t colon = all.find(':');
    if (colon == std::string::npos) return Armed{all, 1};
    return Armed{all.substr(0, colon), ::atoi(all.c_str() + colon + 1)};
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

}  // namespace ringlog::service
