#include "daemon/runtime_dir.h"

#include "daemon/limits.h"
#include "daemon/names.h"
#include "shm/in_process_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace ringlog::service {

namespace {

// True when locked, false when somebody else holds it.
Result<bool> try_lock(int fd, const std::string& path) {
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) return shm::errno_error("flock " + path);
  }
  return true;
}

// A service that exits removes its socket before it lets go of the lock.
bool is_socket_there(int dir_fd) {
  struct stat info {};
  return ::fstatat(dir_fd, "service.sock", &info, AT_SYMLINK_NOFOLLOW) == 0;
}

Result<bool> lock_or_find_other(int fd, int dir_fd, const std::string& path) {
  const int64_t deadline = shm::monotonic_coarse_ms() + kLockWaitMs;
  for (;;) {
    auto locked = try_lock(fd, path);
    if (!locked || *locked) return locked;
    if (is_socket_there(dir_fd) || shm::monotonic_coarse_ms() > deadline) return false;
    constexpr int kPauseMs = 10;
    ::poll(nullptr, 0, kPauseMs);
  }
}

// The folder of this runtime directory in a place that all users share.
std::string folder_below(const char* shared, const std::string& runtime_dir) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016" PRIx64, stable_hash(runtime_dir));
  return std::string(shared) + "/ringlog-" + std::to_string(::geteuid()) + "-" + digits;
}

Status choose_segment_dirs(RuntimeDir& place) {
  place.segments.overflow = folder_below("/var/tmp", place.path);
  place.segments.directory = place.path + "/segments";
  if (!shm::is_tmpfs(place.path)) {
    const std::string other = folder_below("/dev/shm", place.path);
    if (shm::is_tmpfs("/dev/shm") && shm::private_directory(other)) {
      place.segments.directory = other;
      return Done{};
    }
    place.notice = place.path + " is not on tmpfs and " + other +
                   " cannot be used: rings are on a disk, whose writeback can stall log()";
  }
  return shm::private_directory(place.segments.directory);
}

// Where services inside programs are, seen from the user's runtime directory and from one of
// theirs.
std::string in_process_folder_of(const std::string& path) {
  const std::string above = path.substr(0, path.rfind('/'));
  return above == shm::in_process_folder(above.substr(0, above.rfind('/')))
             ? above
             : shm::in_process_folder(path);
}

// The directory with its lock open, not yet held.
Result<RuntimeDir> open_place(const std::string& path) {
  RuntimeDir place;
  place.path = path;
  auto dir = shm::open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir) return dir.take_error();
  place.dir = std::move(*dir);
  auto lock = shm::open_at(place.dir.get(), "service.lock", O_RDWR | O_CREAT | O_NOFOLLOW);
  if (!lock) return lock.take_error();
  place.lock = std::move(*lock);
  place.in_process = in_process_folder_of(path);
  return place;
}

bool has_files(const std::string& folder) {
  std::error_code error;
  const std::filesystem::directory_iterator it(folder, error);
  return !error && it != std::filesystem::directory_iterator();
}

}  // namespace

Result<std::optional<RuntimeDir>> claim_runtime_dir(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    return Error{Code::kInvalidArgument, "runtime directory " + path + " is not an absolute path"};
  }
  if (slash > 0) {
    if (Status s = shm::make_directories(path.substr(0, slash)); !s) return s.take_error();
  }
  if (Status s = shm::private_directory(path); !s) return s.take_error();
  auto place = open_place(path);
  if (!place) return place.take_error();
  auto locked = lock_or_find_other(place->lock.get(), place->dir.get(), path + "/service.lock");
  if (!locked) return locked.take_error();
  if (!*locked) return std::optional<RuntimeDir>();
  if (Status s = choose_segment_dirs(*place); !s) return s.take_error();
  return std::optional<RuntimeDir>(std::move(*place));
}

std::optional<RuntimeDir> lock_left_dir(const std::string& path) {
  auto place = open_place(path);
  if (!place) return std::nullopt;
  const auto locked = try_lock(place->lock.get(), path);
  if (!locked || !*locked || !choose_segment_dirs(*place)) return std::nullopt;
  return std::move(*place);
}

void remove_runtime_dir(const RuntimeDir& place) {
  tidy_segment_dirs(place);
  if (has_files(place.segments.directory) || has_files(place.segments.overflow)) return;
  std::error_code error;
  std::filesystem::remove_all(place.path, error);
}

void tidy_segment_dirs(const RuntimeDir& place) {
  for (const std::string& folder : {place.segments.directory, place.segments.overflow}) {
    // One that still holds a segment stays: rmdir() refuses it.
    if (!folder.starts_with(place.path + "/")) ::rmdir(folder.c_str());
  }
}

}  // namespace ringlog::service
