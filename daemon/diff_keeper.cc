#include "daemon/diff_keeper.h"

#include "daemon/log.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "daemon/thread.h"
#include "shm/posix.h"
#include "shm/spawn.h"

namespace ringlog::service {

namespace {

// How late a stop is noticed.
constexpr int kSliceMs = 100;
constexpr int kNiceness = 10;

// Only what git needs: GIT_DIR and the like of whoever started the service are not this run's.
std::vector<std::string> git_environment() {
  std::vector<std::string> out = {"GIT_OPTIONAL_LOCKS=0", "LC_ALL=C"};
  for (const char* name : {"PATH", "HOME", "XDG_CONFIG_HOME"}) {
    if (const char* value = std::getenv(name)) out.push_back(std::string(name) + "=" + value);
  }
  return out;
}

// Starts git with its output in `output`; its pid.
Result<pid_t> start_git(const std::string& work_tree, int output) {
  shm::Spawn git;
  git.open(STDIN_FILENO, "/dev/null", O_RDONLY);
  git.connect(output, STDOUT_FILENO);
  git.open(STDERR_FILENO, "/dev/null", O_WRONLY);
  git.close_from(STDERR_FILENO + 1);
  git.start_session();
  git.reset_signals();
  auto pid = git.start({"git", "-C", work_tree, "-c", "core.fsmonitor=false", "diff", "HEAD",
                        "--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short"},
                       git_environment());
  if (!pid) return pid.take_error().in("start");
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(*pid), kNiceness);
  return pid;
}

}  // namespace

void DiffKeeper::keep(const std::string& work_tree, const std::string& run_dir) {
  const auto refuse = [work_tree, run_dir](const Error& why) {
    log().info("no diff of {} for {}: {}", work_tree, run_dir, why.message);
  };
  const std::lock_guard lock(mutex_);
  if (is_stopping_.load(std::memory_order_relaxed)) return;
  if (!thread_.joinable()) {
    auto thread = start_thread("diffs", [this] { run(); });
    if (!thread) return refuse(thread.error());
    thread_ = std::move(*thread);
  }
  queue_.post([this, work_tree, run_dir, refuse] {
    if (is_stopping_.load(std::memory_order_relaxed)) return;
    if (Status s = write_diff(work_tree, run_dir); !s) refuse(s.error());
  });
}

void DiffKeeper::run() {
  do {
    queue_.wait(0, std::numeric_limits<int64_t>::max());
  } while (queue_.run());
}

void DiffKeeper::stop() {
  is_stopping_.store(true, std::memory_order_relaxed);
  queue_.stop();
  const std::lock_guard lock(mutex_);
  if (thread_.joinable()) thread_.join();
}

Status DiffKeeper::write_diff(const std::string& work_tree, const std::string& run_dir) {
  const std::string path = run_dir + "/files/diff.patch";
  if (::access(path.c_str(), F_OK) == 0) return Done{};
  auto diff = run_git(work_tree);
  if (!diff) return diff.take_error();
  if (diff->empty()) return Done{};
  const std::string draft = path + ".new";
  auto file = shm::open_file(draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  if (!file) return file.take_error();
  if (Status s = shm::write_all(file->get(), std::as_bytes(std::span(*diff)), draft); !s) return s;
  if (::rename(draft.c_str(), path.c_str()) != 0) return shm::errno_error("rename " + draft);
  return Done{};
}

Result<std::string> DiffKeeper::read_output(int fd) const {
  std::string text;
  const int64_t deadline = shm::monotonic_ns() + kTimeLimitMs * 1'000'000;
  std::array<char, 64 * 1024> part;
  while (!is_stopping_.load(std::memory_order_relaxed)) {
    if (shm::monotonic_ns() > deadline) {
      return Error{Code::kTimeout, "git took longer than " + std::to_string(kTimeLimitMs) + " ms"};
    }
    pollfd entry{fd, POLLIN, 0};
    if (::poll(&entry, 1, kSliceMs) <= 0) continue;
    const ssize_t size = ::read(fd, part.data(), part.size());
    if (size == 0) return text;
    if (size < 0 && errno != EINTR) return shm::errno_error("read from git");
    if (size > 0) text.append(part.data(), static_cast<size_t>(size));
    if (text.size() > kSizeLimit) {
      return Error{Code::kTooLarge, "it has more than " + std::to_string(kSizeLimit) + " bytes"};
    }
  }
  return Error{Code::kTimeout, "the service ends"};
}

Result<std::string> DiffKeeper::run_git(const std::string& work_tree) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return shm::errno_error("make a pipe");
  const shm::Fd output(ends[0]);
  shm::Fd input(ends[1]);
  auto pid = start_git(work_tree, input.get());
  input.reset();
  if (!pid) return pid.take_error();
  auto text = read_output(output.get());
  // It may have helpers; all are of its session.
  if (!text) ::kill(-*pid, SIGKILL);
  int status = 0;
  while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!text) return text;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return Error{Code::kIo, "git refuses (status " + std::to_string(status >> 8) + ")"};
  }
  return text;
}

}  // namespace ringlog::service
