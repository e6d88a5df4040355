#include "shm/spawn.h"

#include "shm/posix.h"

#include <utility>

extern char** environ;

namespace ringlog::shm {

namespace {

// As exec wants them; valid as long as `words`.
std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (std::string& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

Spawn::Spawn() {
  posix_spawn_file_actions_init(&files_);
  posix_spawnattr_init(&attributes_);
}

Spawn::~Spawn() {
  posix_spawn_file_actions_destroy(&files_);
  posix_spawnattr_destroy(&attributes_);
}

void Spawn::open(int at, const std::string& path, int flags) {
  posix_spawn_file_actions_addopen(&files_, at, path.c_str(), flags, 0);
}

void Spawn::connect(int from, int at) { posix_spawn_file_actions_adddup2(&files_, from, at); }

void Spawn::close_from(int first) { posix_spawn_file_actions_addclosefrom_np(&files_, first); }

void Spawn::set_directory(const std::string& path) {
  posix_spawn_file_actions_addchdir_np(&files_, path.c_str());
}

void Spawn::set_signals(const sigset_t& mask, const sigset_t& to_default) {
  posix_spawnattr_setsigmask(&attributes_, &mask);
  posix_spawnattr_setsigdefault(&attributes_, &to_default);
  flags_ |= POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
}

void Spawn::reset_signals() {
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  set_signals(none, all);
}

Result<pid_t> Spawn::start(std::vector<std::string> words) { return start_with(words, environ); }

Result<pid_t> Spawn::start(std::vector<std::string> words, std::vector<std::string> variables) {
  return start_with(words, pointers_to(variables).data());
}

void Spawn::prepare(std::vector<std::string> words) {
  posix_spawnattr_setflags(&attributes_, static_cast<short>(flags_));
  words_ = std::move(words);
  pointers_ = pointers_to(words_);
}

int Spawn::start_prepared(pid_t& pid) noexcept {
  return ::posix_spawn(&pid, pointers_[0], &files_, &attributes_, pointers_.data(), environ);
}

Result<pid_t> Spawn::start_with(std::vector<std::string>& words, char* const* variables) {
  posix_spawnattr_setflags(&attributes_, static_cast<short>(flags_));
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, words[0].c_str(), &files_, &attributes_,
                                   pointers_to(words).data(), variables);
  if (error != 0) return errno_error(words[0], error);
  return pid;
}

}  // namespace ringlog::shm
