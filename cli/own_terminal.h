#pragma once
// OwnTerminal: the terminal a person types at, while what is typed belongs to another program.
//
// In raw mode every key, Ctrl-C too, comes as a byte.  The mode is only changed while this process
// is in the terminal's foreground, and given back by the destructor.  A resource of one thread.

#include <termios.h>

#include <optional>

namespace ringlog::cli {

class OwnTerminal {
 public:
  // `fd`: a terminal.  `is_input`: keys are passed on too; else only output, which the program's
  // own terminal has prepared already.
  OwnTerminal(int fd, bool is_input) : fd_(fd), is_input_(is_input) {}
  ~OwnTerminal() { give_back(); }
  OwnTerminal(const OwnTerminal&) = delete;
  OwnTerminal& operator=(const OwnTerminal&) = delete;

  int fd() const { return fd_; }
  // In the background it does nothing; call it again when the process goes on.
  void take();
  void give_back();
  // Whether keys may be read.
  bool has_keys() const { return is_input_ && before_.has_value(); }

 private:
  const int fd_;
  const bool is_input_;
  std::optional<termios> before_;  // while taken
};

// Does what SIGTSTP, which the calling thread has blocked, does to a program that leaves it alone:
// in a process group of which nobody outside could let it go on the kernel discards the signal, and
// we must not stop alone.
void stop_unless_orphaned();

}  // namespace ringlog::cli
