#include "shm/posix.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

namespace ringlog::shm {

namespace {

template <typename Call>
auto retry(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

Code code_of(int error_number) {
  switch (error_number) {
    case EACCES:
    case EPERM:
      return Code::kPermission;
    case ENOENT:
      return Code::kNotFound;
    default:
      return Code::kIo;
  }
}

int64_t clock_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

void Fd::reset() {
  // close() is not retried: on Linux the descriptor is gone even after EINTR.
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Error errno_error(const std::string& what) { return errno_error(what, errno); }

Error errno_error(const std::string& what, int error_number) {
  return {code_of(error_number), what + ": " + std::generic_category().message(error_number)};
}

Result<Fd> above_standard(Fd fd) {
  if (fd.get() > STDERR_FILENO) return fd;
  const int moved = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (moved < 0) return errno_error("move a descriptor away from those of the standard streams");
  return Fd(moved);
}

Result<Fd> open_file(const std::string& path, int flags, unsigned mode) {
  return open_at(AT_FDCWD, path, flags, mode);
}

Result<Fd> open_at(int dir_fd, const std::string& name, int flags, unsigned mode) {
  const int fd = retry([&] { return ::openat(dir_fd, name.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) return errno_error("open " + name);
  return above_standard(Fd(fd));
}

Result<Fd> duplicate(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (copy < 0) return errno_error("duplicate a descriptor");
  return Fd(copy);
}

Result<Fd> create_memfd(const std::string& name) {
  const int fd = ::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return errno_error("memfd_create " + name);
  return above_standard(Fd(fd));
}

Status allocate_file(int fd, uint64_t size, const std::string& what) {
  const int error = ::posix_fallocate(fd, 0, static_cast<off_t>(size));
  if (error != 0)
    return errno_error("allocate " + std::to_string(size) + " bytes for " + what, error);
  const std::vector<std::byte> zeros(std::min<uint64_t>(size, 256 * 1024));
  for (uint64_t at = 0; at < size;) {
    const size_t part = static_cast<size_t>(std::min<uint64_t>(zeros.size(), size - at));
    const ssize_t n =
        retry([&] { return ::pwrite(fd, zeros.data(), part, static_cast<off_t>(at)); });
    if (n < 0) return errno_error("write " + what);
    at += static_cast<uint64_t>(n);
  }
  return Done{};
}

Result<uint64_t> file_size(int fd, const std::string& what) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return errno_error("stat " + what);
  return static_cast<uint64_t>(info.st_size);
}

Status read_at(int fd, std::span<std::byte> into, uint64_t offset, const std::string& what) {
  for (size_t at = 0; at < into.size();) {
    const ssize_t n = retry([&] {
      return ::pread(fd, into.data() + at, into.size() - at, static_cast<off_t>(offset + at));
    });
    if (n < 0) return errno_error("read " + what);
    if (n == 0) {
      return Error{Code::kCorrupt, what + " ends at byte " + std::to_string(offset + at) +
                                       ", expected " + std::to_string(offset + into.size())};
    }
    at += static_cast<size_t>(n);
  }
  return Done{};
}

Status write_all(int fd, std::span<const std::byte> bytes, const std::string& what) {
  while (!bytes.empty()) {
    const ssize_t n = retry([&] { return ::write(fd, bytes.data(), bytes.size()); });
    if (n < 0) return errno_error("write " + what);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return Done{};
}

Result<std::string> read_file(const std::string& path, size_t size_max) {
  auto fd = open_file(path, O_RDONLY);
  if (!fd) return fd.take_error();
  std::string text(size_max, '\0');
  size_t size = 0;
  while (size < size_max) {
    const ssize_t n = retry([&] { return ::read(fd->get(), text.data() + size, size_max - size); });
    if (n < 0) return errno_error("read " + path);
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  text.resize(size);
  return text;
}

Status private_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return errno_error("mkdir " + path);
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return errno_error("stat " + path);
  if (!S_ISDIR(info.st_mode)) return Error{Code::kPermission, path + " is not a directory"};
  if (info.st_uid != ::geteuid()) {
    return Error{Code::kPermission, path + " belongs to user " + std::to_string(info.st_uid) +
                                        ", not to user " + std::to_string(::geteuid()) +
                                        "; remove it or set RINGLOG_RUNTIME_DIR"};
  }
  if ((info.st_mode & 077) != 0) {
    return Error{Code::kPermission,
                 path + " can be entered by other users; run: chmod 0700 " + path};
  }
  return Done{};
}

Status make_directories(const std::string& path, unsigned mode) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string level = path.substr(0, at);
    if (::mkdir(level.c_str(), mode) != 0 && errno != EEXIST) return errno_error("mkdir " + level);
    if (at == std::string::npos) break;
  }
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return errno_error("stat " + path);
  if (!S_ISDIR(info.st_mode)) return Error{Code::kIo, path + " is not a directory"};
  return Done{};
}

bool is_tmpfs(const std::string& path) {
  struct statfs info {};
  return ::statfs(path.c_str(), &info) == 0 && info.f_type == TMPFS_MAGIC;
}

Result<uint64_t> free_bytes(const std::string& path) {
  struct statfs info {};
  if (::statfs(path.c_str(), &info) != 0) return errno_error("statfs " + path);
  return static_cast<uint64_t>(info.f_bavail) * static_cast<uint64_t>(info.f_bsize);
}

int64_t monotonic_coarse_ms() { return clock_ns(CLOCK_MONOTONIC_COARSE) / 1'000'000; }
int64_t monotonic_ns() { return clock_ns(CLOCK_MONOTONIC); }
int64_t deadline_ns(int64_t start_ns, std::chrono::nanoseconds timeout) {
  return start_ns + std::clamp<int64_t>(timeout.count(), 0, INT64_MAX - start_ns);
}
int64_t realtime_ns() { return clock_ns(CLOCK_REALTIME); }

Result<uint64_t> process_start_time(int32_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  auto text = read_file(path, 4096);
  if (!text) return Error{Code::kNotFound, text.error().message};
  // The command name may hold spaces and parentheses, so fields are counted after its last ')'.
  size_t at = text->rfind(')');
  constexpr int kFieldsToStartTime = 20;
  for (int field = 0; field < kFieldsToStartTime && at != std::string::npos; ++field) {
    at = text->find(' ', at + 1);
  }
  if (at == std::string::npos) return Error{Code::kIo, path + " has an unknown form"};
  return std::strtoull(text->c_str() + at, nullptr, 10);
}

std::string boot_id() {
  auto text = read_file("/proc/sys/kernel/random/boot_id", 36);
  return text ? *text : std::string();
}

std::string random_uuid() {
  std::array<unsigned char, 16> bytes{};
  // 16 bytes come whole and without blocking once the kernel's source is initialised at boot.
  retry([&] { return ::getrandom(bytes.data(), bytes.size(), 0); });
  std::string text;
  for (const unsigned char byte : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace ringlog::shm
