#include "cli/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

extern char** environ;

namespace ringlog::cli {

namespace {

struct Pipe {
  shm::Fd read;
  shm::Fd write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return shm::errno_error("make a pipe");
  return Pipe{shm::Fd(ends[0]), shm::Fd(ends[1])};
}

std::vector<std::string> environment(const std::map<std::string, std::string>& variables) {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text(*entry);
    if (!variables.contains(text.substr(0, text.find('=')))) entries.push_back(text);
  }
  for (const auto& [name, value] : variables) {
    std::string entry = name;
    entry += '=';
    entry += value;
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (std::string& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

Result<Child> Child::start(const ChildSpec& spec) {
  auto output = make_pipe();
  if (!output) return output.take_error();
  auto errors = make_pipe();
  if (!errors) return errors.take_error();

  std::vector<std::string> words = spec.command;
  std::vector<std::string> variables = environment(spec.variables);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&files, output->write.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, errors->write.get(), STDERR_FILENO);
  // The command ignores SIGPIPE, and that would be inherited.
  sigset_t to_default;
  sigemptyset(&to_default);
  sigaddset(&to_default, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &to_default);
  posix_spawnattr_setsigmask(&attributes, &spec.signal_mask);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, words[0].c_str(), &files, &attributes,
                                   pointers(words).data(), pointers(variables).data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return shm::errno_error(words[0], error);
  return Child(pid, std::move(output->read), std::move(errors->read));
}

std::optional<int> Child::try_wait() {
  int status = 0;
  return ::waitpid(pid_, &status, WNOHANG) == pid_ ? std::optional(status) : std::nullopt;
}

}  // namespace ringlog::cli
