#include "daemon/thread.h"

#include <pthread.h>

#include <string>
#include <system_error>
#include <utility>

namespace ringlog::service {

Result<std::jthread> start_thread(const char* name, std::function<void()> body) {
  try {
    std::jthread thread(std::move(body));
    ::pthread_setname_np(thread.native_handle(), name);
    return Result<std::jthread>(std::move(thread));
  } catch (const std::system_error& e) {
    return Error{Code::kIo, std::string("the thread \"") + name +
                                "\" cannot be made: " + e.code().message() +
                                " (pids.max of the cgroup, ulimit -u, or memory)"};
  }
}

}  // namespace ringlog::service
