#include "cli/own_terminal.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

namespace ringlog::cli {

void OwnTerminal::take() {
  if (before_ || ::tcgetpgrp(fd_) != ::getpgrp()) return;
  termios modes{};
  if (::tcgetattr(fd_, &modes) != 0) return;
  before_ = modes;
  if (is_input_) {
    ::cfmakeraw(&modes);
  } else {
    modes.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  }
  ::tcsetattr(fd_, TCSADRAIN, &modes);
}

void OwnTerminal::give_back() {
  if (!before_) return;
  // Not from the background: the modes are somebody else's by then.
  if (::tcgetpgrp(fd_) == ::getpgrp()) ::tcsetattr(fd_, TCSADRAIN, &*before_);
  before_.reset();
}

void stop_unless_orphaned() {
  sigset_t stop;
  sigset_t before;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTSTP);
  ::raise(SIGTSTP);  // blocked, so it waits until here:
  ::pthread_sigmask(SIG_UNBLOCK, &stop, &before);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace ringlog::cli
