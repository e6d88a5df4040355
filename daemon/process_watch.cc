#include "daemon/process_watch.h"

#include <errno.h>
#include <linux/ioctl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace ringlog::service {

namespace {

// Of <linux/pidfd.h> of Linux 6.15; Debian 12's header is older.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup_id;
  uint32_t pid;
  uint32_t tgid;
  uint32_t ppid;
  uint32_t ids[8];  // ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid
  int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64, "PIDFD_INFO_SIZE_VER0");
constexpr uint64_t kInfoExit = uint64_t{1} << 3;
constexpr unsigned long kGetInfo = _IOWR(0xFF, 11, PidfdInfo);

ExitInfo from_wait_status(int status) {
  if (WIFSIGNALED(status)) return {0, WTERMSIG(status)};
  return {WEXITSTATUS(status), 0};
}

// The exit status in /proc/<pid>/stat of a zombie that is the process we mean.
std::optional<ExitInfo> zombie_exit_info(int32_t pid, uint64_t pid_start) {
  const auto text = shm::read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!text) return std::nullopt;
  // Fields are counted after the command name, which may hold anything: state is field 3, start
  // time 22, exit code 52, the last one.
  size_t at = text->rfind(')');
  if (at == std::string::npos || text->size() < at + 3 || (*text)[at + 2] != 'Z') {
    return std::nullopt;
  }
  uint64_t start = 0;
  int status = -1;
  for (int field = 3; field <= 52; ++field) {
    at = text->find(' ', at + 1);
    if (at == std::string::npos) return std::nullopt;
    if (field == 22) start = std::strtoull(text->c_str() + at, nullptr, 10);
    if (field == 52) status = std::atoi(text->c_str() + at);
  }
  if (pid_start != 0 && start != pid_start) return std::nullopt;
  return from_wait_status(status);
}

End end_of(const ExitInfo& exit) {
  switch (exit.signal) {
    case 0:
      return {exit.exit_code == 0 ? "finished" : "failed", exit.exit_code, 0, ""};
    case SIGTERM:
    case SIGINT:
    case SIGHUP:
      return {"killed", 0, exit.signal, ""};
    default:
      return {"crashed", 0, exit.signal, ""};
  }
}

}  // namespace

Result<shm::Fd> open_pidfd(int32_t pid, uint64_t pid_start) {
  const auto gone = [pid] {
    return Error{Code::kNotFound, "process " + std::to_string(pid) + " is gone"};
  };
  if (pid <= 0) return gone();
  shm::Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) {
    if (errno == ESRCH) return gone();
    return shm::errno_error("pidfd_open " + std::to_string(pid));
  }
  // Looked at after the pidfd is open, so that it cannot become another process in between.
  errno = 0;
  const auto start = shm::process_start_time(pid);
  // A process that is gone has no such file, or none that can be read: anything else is our
  // trouble.
  if (!start && errno != 0 && errno != ENOENT && errno != ESRCH) {
    return shm::errno_error("look at process " + std::to_string(pid));
  }
  if (!start || (pid_start != 0 && *start != pid_start)) return gone();
  return fd;
}

bool is_dead(int pidfd) {
  pollfd entry{pidfd, POLLIN, 0};
  return ::poll(&entry, 1, 0) == 1 && (entry.revents & POLLIN) != 0;
}

std::optional<ExitInfo> exit_info(int pidfd, int32_t pid, uint64_t pid_start) {
  if (const auto info = zombie_exit_info(pid, pid_start)) return info;
  PidfdInfo info{};
  info.mask = kInfoExit;
  if (::ioctl(pidfd, kGetInfo, &info) != 0 || (info.mask & kInfoExit) == 0) return std::nullopt;
  return from_wait_status(info.exit_code);
}

End decide_end(const std::optional<ExitInfo>& finish, const EndFacts& facts) {
  if (finish) return end_of(*finish);
  if (facts.exit_word) return end_of({*facts.exit_word, 0});
  if (facts.forced) return *facts.forced;
  if (facts.kernel) return end_of(*facts.kernel);
  return {"crashed", 0, 0, "it vanished; the cause is unknown"};
}

}  // namespace ringlog::service
