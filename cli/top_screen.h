#pragma once
// TopScreen: a page that is drawn in place on a terminal, and what is typed meanwhile.
//
// Takes the terminal's alternate screen, so that what stood there comes back, whatever ends the
// command: the destructor restores it.  While it exists its signals come as what happened.  While
// the process is stopped or in the background the terminal is somebody else's and nothing is drawn.
// A resource of one thread.

#include <signal.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cli/output.h"
#include "cli/own_terminal.h"
#include "shm/posix.h"

namespace ringlog::cli {

class TopScreen {
 public:
  // `out`: of a terminal with a cursor; outlives the screen.
  explicit TopScreen(Output& out);
  ~TopScreen();
  TopScreen(const TopScreen&) = delete;
  TopScreen& operator=(const TopScreen&) = delete;

  struct Event {
    enum class Kind {
      kTime,  // the deadline has come
      kDraw,  // the window has another size, or the terminal is ours again
      kKey,   // `key` was typed
      kEnd,   // somebody wants us to end: `signal`, which was not raised; 0: typed, or nobody looks
    };
    Kind kind = Kind::kTime;
    char key = 0;
    int signal = 0;
  };
  // Waits until `deadline_ns` (monotonic) for something to happen.
  Event wait(int64_t deadline_ns);

  // Lines that are no wider than the terminal, and not more than it has.
  void draw(const std::vector<std::string>& lines);

 private:
  bool take_back();
  void leave();
  void stop();
  Event take_key();
  Event take_signal();

  Output& out_;
  OwnTerminal terminal_;
  sigset_t signals_before_;
  shm::Fd signals_;
  bool has_keys_;
  bool is_taken_ = false;  // the alternate screen
};

}  // namespace ringlog::cli
