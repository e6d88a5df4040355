#pragma once
// A small torchrun: starts one process per rank with the environment that launchers set, starts a
// rank that died of a signal again as its next attempt, and, because this is a demonstration, kills
// one of them half-way. One thread; waits for pidfds, never polls.

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "optimizer.h"
#include "options.h"
#include "team.h"

namespace train {

// What the launcher tells a rank beyond what torchrun would: which descriptors it inherits.
inline constexpr const char* kStateFdVariable = "TRAIN_STATE_FD";
inline constexpr const char* kHalfwayFdVariable = "TRAIN_HALFWAY_FD";

inline int check(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

class Launcher {
 public:
  Launcher(const Options& options, char** argv)
      : options_(options),
        argv_(argv),
        state_fd_(check(memfd_create("train", 0), "cannot create the shared state")),
        halfway_fd_(check(eventfd(0, 0), "cannot create an eventfd")),
        ranks_(options.rank_count) {
    check(ftruncate(state_fd_, sizeof(TeamState)), "cannot size the shared state");
    const TeamMapping state(state_fd_);
    new (&*state) TeamState;
    // ORDER stop: the ranks are forked after this.
    state->step_count.store(options.step_count, std::memory_order_relaxed);
    initialize(state->versions[0], options.seed);
  }
  ~Launcher() {
    close(halfway_fd_);
    close(state_fd_);
  }
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  // Blocks until every rank is gone. Returns the exit status of the whole job.
  int run() {
    export_environment();
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank) start(rank);
    while (running_count_ > 0 && !failed_) wait_for_event();
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
      if (ranks_[rank].pid > 0) kill(ranks_[rank].pid, SIGKILL);
    }
    while (running_count_ > 0) wait_for_event();
    return failed_ ? 1 : 0;
  }

 private:
  static constexpr unsigned kRestartCountMax = 3;

  struct Rank {
    pid_t pid = -1;  // Positive while it runs.
    int pidfd = -1;
    unsigned attempt = 0;
  };

  // The variables that are the same for all ranks.
  void export_environment() const {
    const std::string size = std::to_string(ranks_.size());
    std::array<char, 32> stamp{};
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    std::strftime(stamp.data(), stamp.size(), "train-%Y%m%d-%H%M%S-", gmtime_r(&now, &utc));
    set("TORCHELASTIC_RUN_ID", stamp.data() + std::to_string(getpid()));
    set("TORCHELASTIC_MAX_RESTARTS", std::to_string(kRestartCountMax));
    set("WORLD_SIZE", size);
    set("LOCAL_WORLD_SIZE", size);
    set("GROUP_RANK", "0");
    set("MASTER_ADDR", "127.0.0.1");
    set("MASTER_PORT", "29500");
    set(kStateFdVariable, std::to_string(state_fd_));
    set(kHalfwayFdVariable, std::to_string(halfway_fd_));
  }

  static void set(const char* name, const std::string& value) { setenv(name, value.c_str(), 1); }

  void start(std::size_t rank) {
    set("RANK", std::to_string(rank));
    set("LOCAL_RANK", std::to_string(rank));
    set("TORCHELASTIC_RESTART_COUNT", std::to_string(ranks_[rank].attempt));
    const pid_t launcher = getpid();
    const pid_t pid = check(fork(), "cannot fork");
    if (pid == 0) {
      // No rank outlives its launcher, not even one that was forked just before it died.
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() == launcher) exec_self();
      _exit(127);
    }
    ranks_[rank].pid = pid;
    ++running_count_;
    // By number: the header of glibc 2.36 declares pidfd_open() for C only.
    const auto pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    ranks_[rank].pidfd = check(pidfd, "cannot open a pidfd");
  }

  void exec_self() const {
    execv("/proc/self/exe", argv_);
    execvp(argv_[0], argv_);  // In a root folder without /proc.
    std::perror("train: cannot start a rank");
  }

  void wait_for_event() {
    std::vector<pollfd> events;
    for (const Rank& rank : ranks_) events.push_back({rank.pidfd, POLLIN, 0});  // -1 is ignored.
    events.push_back({halfway_fd_, POLLIN, 0});
    if (poll(events.data(), events.size(), -1) < 0) {
      if (errno == EINTR) return;
      check(-1, "cannot wait for the ranks");
    }
    if (events.back().revents != 0) kill_halfway();
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
      if (events[rank].revents != 0) reap(rank);
    }
  }

  // The rank goes on at full speed after it has reported, so this hits it anywhere in a step.
  void kill_halfway() {
    std::uint64_t ignored = 0;
    check(static_cast<int>(read(halfway_fd_, &ignored, sizeof(ignored))), "cannot read an eventfd");
    const std::size_t rank = options_.kill_rank.value_or(0);
    if (ranks_[rank].pid <= 0) return;
    std::fprintf(stderr, "train: rank %zu is half-way: sending it SIGKILL\n", rank);
    kill(ranks_[rank].pid, SIGKILL);
  }

  void reap(std::size_t rank) {
    Rank& it = ranks_[rank];
    int status = 0;
    if (waitpid(it.pid, &status, 0) != it.pid) return;
    close(it.pidfd);
    it = {.pid = -1, .pidfd = -1, .attempt = it.attempt};
    --running_count_;
    if (failed_ || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) return;
    if (!WIFSIGNALED(status)) {
      std::fprintf(stderr, "train: rank %zu exited with status %d\n", rank, WEXITSTATUS(status));
      failed_ = true;
    } else if (it.attempt == kRestartCountMax) {
      std::fprintf(stderr, "train: rank %zu died of signal %d once too often\n", rank,
                   WTERMSIG(status));
      failed_ = true;
    } else {
      ++it.attempt;
      std::fprintf(stderr, "train: rank %zu died of signal %d: starting attempt %u\n", rank,
                   WTERMSIG(status), it.attempt);
      start(rank);
    }
  }

  const Options& options_;
  char** const argv_;
  const int state_fd_;
  const int halfway_fd_;
  std::vector<Rank> ranks_;
  std::size_t running_count_ = 0;
  bool failed_ = false;
};

}  // namespace train
