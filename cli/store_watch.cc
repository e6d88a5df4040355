#include "cli/store_watch.h"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>

namespace ringlog::cli {

namespace {

// How often the store is looked at again at most: a look costs some milliseconds.
constexpr int kPauseMs = 250;
// And at least, because not every filesystem tells of changes.
constexpr int kPauseMaxMs = 1000;

}  // namespace

StoreWatch::StoreWatch(const std::string& dir) : watch_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  const std::string store = dir + "/store";
  if (watch_) ::inotify_add_watch(watch_.get(), store.c_str(), IN_MODIFY | IN_CREATE);
}

bool StoreWatch::wait() {
  std::array<pollfd, 2> entries = {{{STDOUT_FILENO, 0, 0}, {watch_.get(), POLLIN, 0}}};
  // The pause comes first, so that a busy run is looked at four times a second, not always.
  if (::poll(entries.data(), 1, kPauseMs) > 0) return false;
  if (::poll(entries.data(), entries.size(), kPauseMaxMs - kPauseMs) > 0) {
    // What the events say does not matter; the store tells what is new.
    std::array<char, 4096> events;
    while (::read(watch_.get(), events.data(), events.size()) > 0) {
    }
  }
  return entries[0].revents == 0;
}

}  // namespace ringlog::cli
