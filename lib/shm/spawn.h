#pragma once
// Starting another program: posix_spawn(3), and what the program inherits said in words.
//
//   Spawn git;
//   git.open(STDIN_FILENO, "/dev/null", O_RDONLY);
//   git.connect(output, STDOUT_FILENO);
//   git.close_from(STDERR_FILENO + 1);
//   auto pid = git.start({"git", "diff"});
//
// What is not said is inherited.  An object starts one program and belongs to one thread.  Nothing
// of ours runs between fork and exec, so it is safe in a process with threads.

#include <ringlog/result.h>
#include <signal.h>
#include <spawn.h>
#include <sys/types.h>

#include <string>
#include <vector>

namespace ringlog::shm {

class Spawn {
 public:
  Spawn();
  ~Spawn();
  Spawn(const Spawn&) = delete;
  Spawn& operator=(const Spawn&) = delete;

  // Of the program's descriptors, in the order of the calls: `at` is `path`, opened with `flags`;
  // is what `from` is here; those from `first` on are closed.
  void open(int at, const std::string& path, int flags);
  void connect(int from, int at);
  void close_from(int first);
  // Where it runs.
  void set_directory(const std::string& path);
  // In a session of its own, without our terminal.
  void start_session() { flags_ |= POSIX_SPAWN_SETSID; }
  // Blocks `mask`; those in `to_default` act as the system has them, the others as here.
  void set_signals(const sigset_t& mask, const sigset_t& to_default);
  // None is blocked, all act as the system has them.
  void reset_signals();

  // words[0] is a path, or a name that is looked for in PATH.  Without `variables` (NAME=value) the
  // program has our environment.  Returns its pid; the caller waits for it.  Errors: kNotFound,
  // kPermission, kIo, with words[0] and the reason.
  Result<pid_t> start(std::vector<std::string> words);
  Result<pid_t> start(std::vector<std::string> words, std::vector<std::string> variables);
  // The same in two steps, the second of which allocates nothing, takes no lock and may be repeated
  // and called in a signal handler.  words[0] must be a path.  Returns 0, or an errno.
  void prepare(std::vector<std::string> words);
  int start_prepared(pid_t& pid) noexcept;

 private:
  Result<pid_t> start_with(std::vector<std::string>& words, char* const* variables);

  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
  int flags_ = 0;                   // POSIX_SPAWN_…
  std::vector<std::string> words_;  // of prepare()
  std::vector<char*> pointers_;     // into words_
};

}  // namespace ringlog::shm
