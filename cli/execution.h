#pragma once
// Execution: a program that runs, its output on its way to ours and to the run, signals on their
// way to it.
//
// A value of one thread, which has SIGCHLD and kForwardedSignals blocked.  It waits in one place,
// poll(): whoever does not read our output holds up the program, as without us, and no signal.

#include <ringlog/run.h>
#include <signal.h>
#include <sys/signalfd.h>

#include <array>
#include <optional>
#include <string>

#include "cli/child.h"
#include "cli/outlet.h"
#include "cli/own_terminal.h"

namespace ringlog::cli {

inline constexpr std::array kForwardedSignals = {SIGINT,  SIGTERM,  SIGHUP,  SIGQUIT, SIGUSR1,
                                                 SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT};

class Execution {
 public:
  // `signals`: a signalfd of those signals.  `terminal`: ours, when we have one and the program has
  // one of its own; else null.
  Execution(Run& run, Child child, int signals, OwnTerminal* terminal)
      : run_(run), child_(std::move(child)), signals_(signals), terminal_(terminal) {}

  // Until the program has ended and its output is through; its status as waitpid() says it.  What
  // it left behind is waited for a second of silence, some seconds in all, and not at all after
  // another signal that ends programs.
  int follow();

 private:
  using enum Child::Source;

  Outlet& outlet_of(size_t source) { return source == kErrors ? errors_ : output_; }
  int patience() const;
  void step(int timeout_ms);
  size_t copy(size_t source);
  void break_off(size_t source);
  bool take_keys();
  void pass_keys();
  void take_signals();
  void take_signal(const signalfd_siginfo& info);
  void note_end(int status);
  bool suspends(char key) const;
  void suspend();
  void go_on();

  Run& run_;
  Child child_;
  const int signals_;
  OwnTerminal* const terminal_;
  Outlet output_{STDOUT_FILENO};
  Outlet errors_{STDERR_FILENO};
  std::array<bool, kSourceCount> is_open_{};  // there may be more
  std::string keys_;                          // typed, not yet taken by the program
  bool has_input_ = true;
  std::optional<int> wait_status_;
  // Once the program has ended:
  std::array<size_t, kSourceCount> owed_{};  // bytes that were under way by then
  int64_t end_ms_ = 0;                       // when
  int64_t heard_ms_ = 0;                     // when somebody last printed
  bool is_stopped_ = false;                  // somebody does not want to wait
};

}  // namespace ringlog::cli
