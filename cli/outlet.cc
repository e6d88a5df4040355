#include "cli/outlet.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace ringlog::cli {

Outlet::Outlet(int fd) : fd_(fd) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) return;
  if (S_ISFIFO(facts.st_mode)) kind_ = Kind::kPipe;
  if (S_ISSOCK(facts.st_mode)) kind_ = Kind::kSocket;
  if (::isatty(fd) == 1) kind_ = Kind::kTerminal;
  if (kind_ != Kind::kPipe && kind_ != Kind::kTerminal) return;
  // Not ours to open when another user made it; then small pieces after poll() have to do.
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  own_ = shm::Fd(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

void Outlet::put(std::string_view bytes) {
  if (is_broken_) return;
  held_ += bytes;
  pour();
}

void Outlet::pour() {
  while (!held_.empty()) {
    pollfd room{fd_, POLLOUT, 0};
    const bool is_sharer = !own_ && kind_ != Kind::kSocket && kind_ != Kind::kOther;
    if (is_sharer && ::poll(&room, 1, 0) == 0) return;
    const size_t size = is_sharer ? std::min<size_t>(held_.size(), PIPE_BUF) : held_.size();
    const ssize_t written = kind_ == Kind::kSocket
                                ? ::send(fd_, held_.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                : ::write(own_ ? own_.get() : fd_, held_.data(), size);
    if (written > 0) {
      held_.erase(0, static_cast<size_t>(written));
    } else if (written < 0 && errno == EAGAIN) {
      return;
    } else if (written < 0 && errno != EINTR) {
      // A full disk or a terminal that has gone: the run still has it.
      is_broken_ = errno == EPIPE || errno == ECONNRESET;
      held_.clear();
    }
  }
}

pollfd Outlet::entry() const {
  const bool can_break = kind_ == Kind::kPipe || kind_ == Kind::kSocket;
  const bool is_watched = !is_broken_ && (is_full() || can_break);
  return {is_watched ? fd_ : -1, static_cast<short>(is_full() ? POLLOUT : 0), 0};
}

void Outlet::take_event(short events) {
  const bool is_error = (events & (POLLERR | POLLHUP)) != 0;
  if (is_error && (kind_ == Kind::kPipe || kind_ == Kind::kSocket)) {
    is_broken_ = true;
    held_.clear();
  } else if (events != 0) {
    pour();
  }
}

}  // namespace ringlog::cli
