#pragma once
// Outlet: one of our standard descriptors, written to without waiting for whoever reads it.
//
// What is not taken at once is held; the owner polls and reads no more for it meanwhile.  Whoever
// shares the descriptor with us keeps it as it is: it is never made non-blocking itself.
//
// A value of one thread.

#include <poll.h>

#include <string>
#include <string_view>

#include "shm/posix.h"

namespace ringlog::cli {

class Outlet {
 public:
  explicit Outlet(int fd);

  // Writes, and holds what does not go at once.
  void put(std::string_view bytes);
  // Writes what is held; call it when poll() says so.
  void pour();
  // For poll(): waits for room while bytes are held, else for a reader that leaves.
  pollfd entry() const;
  bool is_full() const { return !held_.empty(); }
  // A pipe or socket that nobody reads any more.
  bool is_broken() const { return is_broken_; }
  void take_event(short events);

 private:
  enum class Kind { kPipe, kSocket, kTerminal, kOther };

  const int fd_;
  Kind kind_ = Kind::kOther;  // kOther: a file, which never makes anybody wait
  shm::Fd own_;               // a description of our own of the pipe or terminal
  std::string held_;
  bool is_broken_ = false;
};

}  // namespace ringlog::cli
