#pragma once
// Child: a program started with its output in two pipes, or on a terminal of its own.
//
// With a terminal the program leads a session whose terminal that is: what a person types reaches
// it through terminal(), and Ctrl-C typed there is its signal.
//
// A resource of one thread.  The destructor does not wait and does not kill.

#include <ringlog/result.h>
#include <signal.h>
#include <sys/types.h>

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shm/posix.h"

namespace ringlog::cli {

struct ChildSpec {
  std::vector<std::string> command;  // the first word is looked up on the PATH
  // Variables that are added to this process's own, or replace them.
  std::map<std::string, std::string> variables;
  sigset_t signal_mask;          // what the child starts with
  bool ignores_sigchld = false;  // it starts so, as exec() would have it
  // Which of its standard descriptors are the new terminal; the others are pipes (output, errors)
  // or inherited (input).  Any of them: there is one.
  bool has_terminal_input = false;
  bool has_terminal_output = false;
  bool has_terminal_errors = false;
  // A terminal whose size and modes the new one gets; -1: 80 x 24 and the kernel's modes.
  int terminal_model = -1;
};

// As the first word of our own command line: run the words behind it with SIGCHLD ignored.  Whoever
// starts a program cannot say so and wait for it, because an ignored SIGCHLD leaves nothing to wait
// for, from the first instruction on.
inline constexpr const char* kIgnoreSigchld = "--ignore-sigchld";
// As shells have them for a program that cannot be started.
inline constexpr int kExitCannotRun = 126;
inline constexpr int kExitNotFound = 127;

class Child {
 public:
  //   kNotFound    there is no such program
  //   kPermission  it cannot be executed
  //   kIo          no pipe, no terminal, no process
  static Result<Child> start(const ChildSpec& spec);

  // Where its output comes from: the read ends of two pipes, or the near end of its terminal, which
  // does not block.
  enum Source : size_t { kOutput, kErrors, kTerminal, kSourceCount };

  pid_t pid() const { return pid_; }
  int source(size_t source) const { return sources_.at(source).get(); }  // -1: it has none such
  int terminal() const { return source(kTerminal); }
  // The program finds its pipe closed, its terminal hung up.
  void close(size_t source) { sources_.at(source).reset(); }
  // How it ended as waitpid() says it, once it has; never blocks.
  std::optional<int> try_wait();
  // Gives its terminal the size of `model`, another terminal.
  void resize(int model);

 private:
  explicit Child(pid_t pid) : pid_(pid) {}

  pid_t pid_;
  std::array<shm::Fd, kSourceCount> sources_;
};

}  // namespace ringlog::cli
