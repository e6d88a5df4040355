#pragma once
// Execution: a program that runs, its output on its way to ours and to the run, signals on their
// way to it.
//
// A value of one thread, which has SIGCHLD and kForwardedSignals blocked.

#include <ringlog/run.h>
#include <signal.h>
#include <sys/signalfd.h>

#include <array>
#include <optional>
#include <string>

#include "cli/child.h"
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

  // Until the program has ended and its output is through; its status as waitpid() says it.
  int follow();

 private:
  bool copy(int from, int to);
  bool take_keys();
  void pass_keys();
  void take_signals();
  void take_signal(const signalfd_siginfo& info);
  bool suspends(char key) const;
  void suspend();
  void go_on();

  Run& run_;
  Child child_;
  const int signals_;
  OwnTerminal* const terminal_;
  std::string keys_;  // typed, not yet taken by the program
  bool has_input_ = true;
  std::optional<int> wait_status_;
};

}  // namespace ringlog::cli
