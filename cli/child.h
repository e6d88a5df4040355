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
  sigset_t signal_mask;  // what the child starts with
  // Which of its standard descriptors are the new terminal; the others are pipes (output, errors)
  // or inherited (input).  Any of them: there is one.
  bool has_terminal_input = false;
  bool has_terminal_output = false;
  bool has_terminal_errors = false;
  // A terminal whose size and modes the new one gets; -1: 80 x 24 and the kernel's modes.
  int terminal_model = -1;
};

class Child {
 public:
  //   kNotFound    there is no such program
  //   kPermission  it cannot be executed
  //   kIo          no pipe, no terminal, no process
  static Result<Child> start(const ChildSpec& spec);

  pid_t pid() const { return pid_; }
  // The near end of its terminal, which does not block; -1: it has none.
  int terminal() const { return terminal_.get(); }
  int output() const { return output_.get(); }  // read end of its standard output; -1: terminal
  int errors() const { return errors_.get(); }  // read end of its standard error; -1: terminal
  // How it ended as waitpid() says it, once it has; never blocks.
  std::optional<int> try_wait();
  // Gives its terminal the size of `model`, another terminal.
  void resize(int model);

 private:
  explicit Child(pid_t pid) : pid_(pid) {}

  pid_t pid_;
  shm::Fd terminal_;
  shm::Fd output_;
  shm::Fd errors_;
};

}  // namespace ringlog::cli
