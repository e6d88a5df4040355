#include "store/directory_lock.h"

#include "shm/posix.h"
#include "store/file_system.h"
#include "store/limits.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace ringlog::store {

namespace {

Status make_directories(const std::string& dir) {
  for (size_t end = dir.find('/', 1);; end = dir.find('/', end + 1)) {
    const std::string part = dir.substr(0, end);
    if (mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) {
      Error error = shm::errno_error(part);
      if (error.code == Code::kNotFound) error.code = Code::kIo;
      return error;
    }
    if (end == std::string::npos) return Done{};
  }
}

// " (process 123)": who has the folder locked, from the kernel's list; empty when it cannot tell.
std::string holder_of(int fd) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return {};
  char wanted[64];
  std::snprintf(wanted, sizeof(wanted), "%02x:%02x:%llu", major(info.st_dev), minor(info.st_dev),
                static_cast<unsigned long long>(info.st_ino));
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    int pid = 0;
    char place[64];
    const bool parsed =
        std::sscanf(line.c_str(), "%*s FLOCK %*s %*s %d %63s", &pid, place) == 2 && pid > 0;
    if (!parsed || std::strcmp(place, wanted) != 0) continue;
    return pid == getpid() ? " (this process)" : " (process " + std::to_string(pid) + ")";
  }
  return {};
}

// Done: we have it.  kIo: somebody else has it for longer than a process needs to die, or there are
// no locks here.
Status lock_soon(int fd, const std::string& dir) {
  constexpr int kPauseMs = 5;
  for (int waited_ms = 0;; waited_ms += kPauseMs) {
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return Done{};
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) {
      return Error{Code::kIo, dir + ": its file system (" + file_system_of(fd).type +
                                  ") has no locks, flock: " + std::strerror(errno) +
                                  "; two services could write at once, so it is not used. Mount "
                                  "it with locks, or set RINGLOG_DIR to a folder elsewhere"};
    }
    if (waited_ms >= kLockWaitMs) {
      return Error{Code::kIo, dir + ": another service writes this run" + holder_of(fd)};
    }
    poll(nullptr, 0, kPauseMs);
  }
}

// Whether the lock on `dir` that we have can be had once more: then it keeps nobody out.
bool is_granted_twice(const std::string& dir) {
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool is_granted = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
  if (fd >= 0) close(fd);
  return is_granted;
}

std::string weakness_of(int fd, const std::string& dir) {
  const FileSystem found = file_system_of(fd);
  if (is_granted_twice(dir)) return "its file system (" + found.type + ") grants a lock twice";
  if (!found.is_shared) return {};
  return "its file system (" + found.type + ") may not show locks to other machines or mounts";
}

}  // namespace

Result<std::unique_ptr<DirectoryLock>> DirectoryLock::take(const std::string& dir, bool create) {
  if (create) {
    if (Status made = make_directories(dir); !made) return made.take_error();
  }
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return shm::errno_error(dir);
  std::unique_ptr<DirectoryLock> lock(new DirectoryLock(fd));
  if (Status locked = lock_soon(fd, dir); !locked) return locked.take_error();
  lock->weakness_ = weakness_of(fd, dir);
  if (lock->weakness_.empty()) return lock;
  auto claim = WriterClaim::take(dir);
  if (!claim) return claim.take_error();
  lock->claim_ = *std::move(claim);
  return lock;
}

DirectoryLock::~DirectoryLock() {
  claim_.reset();  // before somebody else can have the lock
  close(fd_);
}

}  // namespace ringlog::store
