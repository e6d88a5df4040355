#include "cli/output.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "shm/posix.h"

namespace ringlog::cli {

Output::Output(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

void Output::write(std::string_view text) {
  buffer_ += text;
  spill();
}

void Output::flush() {
  std::string_view rest = buffer_;
  while (is_open_ && !rest.empty()) {
    const ssize_t written = ::write(fd_, rest.data(), rest.size());
    if (written >= 0) {
      rest.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {
      // Somebody made the terminal non-blocking; wait until it takes more.
      pollfd entry{fd_, POLLOUT, 0};
      ::poll(&entry, 1, -1);
    } else if (errno != EINTR) {
      is_open_ = false;
      error_number_ = errno;
    }
  }
  buffer_.clear();
}

Status Output::status() const {
  if (error_number_ == 0 || error_number_ == EPIPE) return Done{};
  return Error{Code::kIo, shm::errno_error("write to " + name_, error_number_).message};
}

}  // namespace ringlog::cli
