#pragma once
// Child: a program started with its output in two pipes.
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
};

class Child {
 public:
  //   kNotFound    there is no such program
  //   kPermission  it cannot be executed
  //   kIo          no pipe, no process
  static Result<Child> start(const ChildSpec& spec);

  pid_t pid() const { return pid_; }
  int output() const { return output_.get(); }  // read end of its standard output
  int errors() const { return errors_.get(); }  // read end of its standard error
  // How it ended as waitpid() says it, once it has; never blocks.
  std::optional<int> try_wait();

 private:
  Child(pid_t pid, shm::Fd output, shm::Fd errors)
      : pid_(pid), output_(std::move(output)), errors_(std::move(errors)) {}

  pid_t pid_;
  shm::Fd output_;
  shm::Fd errors_;
};

}  // namespace ringlog::cli
