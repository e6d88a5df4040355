#include "client/standard_error.h"

#include "client/keep_errno.h"

#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>

namespace ringlog::client {

namespace {

// Holds SIGPIPE back from this thread, and takes the one away that our write has raised.
class WithoutSigpipe {
 public:
  WithoutSigpipe() {
    sigset_t pending;
    sigemptyset(&pending);
    ::sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    sigemptyset(&only_);
    sigaddset(&only_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &only_, &before_);
  }
  ~WithoutSigpipe() {
    constexpr timespec kNow{0, 0};
    if (has_raised_ && !was_pending_) {
      while (::sigtimedwait(&only_, nullptr, &kNow) < 0 && errno == EINTR) {
      }
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  WithoutSigpipe(const WithoutSigpipe&) = delete;
  WithoutSigpipe& operator=(const WithoutSigpipe&) = delete;

  void has_raised() { has_raised_ = true; }

 private:
  sigset_t only_;
  sigset_t before_;
  bool was_pending_ = false;
  bool has_raised_ = false;
};

}  // namespace

void say_on_stderr(std::string_view text) noexcept {
  const KeepErrno errno_kept;
  static constexpr std::string_view kBegin = "ringlog: ";
  const std::array<iovec, 3> parts{{{const_cast<char*>(kBegin.data()), kBegin.size()},
                                    {const_cast<char*>(text.data()), text.size()},
                                    {const_cast<char*>("\n"), 1}}};
  WithoutSigpipe quietly;
  if (::writev(STDERR_FILENO, parts.data(), parts.size()) < 0 && errno == EPIPE) {
    quietly.has_raised();
  }
}

}  // namespace ringlog::client
