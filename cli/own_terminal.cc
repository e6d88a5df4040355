#include "cli/own_terminal.h"

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

}  // namespace ringlog::cli
