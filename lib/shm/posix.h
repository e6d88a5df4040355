#pragma once
// The system calls used, one thin wrapper each: EINTR retried, errno turned into an Error that
// names the call and its object.  Nothing here keeps state; safe from any thread.

#include <ringlog/result.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace ringlog::shm {

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

// Error from errno: "what: strerror(errno)", kPermission for EACCES/EPERM, kNotFound for ENOENT.
Error errno_error(const std::string& what);
Error errno_error(const std::string& what, int error_number);

// The same descriptor above the three that a program writes and reads without looking: where one of
// those was closed, the kernel gives its number to what is opened next, and the program's output
// would go there.  Everything below that makes a descriptor returns it through this.
//   kIo  no descriptor is free
Result<Fd> above_standard(Fd fd);
Result<Fd> open_file(const std::string& path, int flags, unsigned mode = 0600);
Result<Fd> open_at(int dir_fd, const std::string& name, int flags, unsigned mode = 0600);
Result<Fd> duplicate(int fd);  // close-on-exec
// Anonymous memory file that can be sealed.
Result<Fd> create_memfd(const std::string& name);
// Reserves `size` bytes and writes every page, so that later stores cannot fault.
//   kIo  the filesystem has no room (ENOSPC), named by `what`
Status allocate_file(int fd, uint64_t size, const std::string& what);
Result<uint64_t> file_size(int fd, const std::string& what);
// Reads exactly `into.size()` bytes at `offset`.  kCorrupt when the file ends before.
Status read_at(int fd, std::span<std::byte> into, uint64_t offset, const std::string& what);
Status write_all(int fd, std::span<const std::byte> bytes, const std::string& what);
Result<std::string> read_file(const std::string& path, size_t size_max);

// Creates `path` (one level) with mode 0700 if needed and checks what is there:
//   kPermission  not a directory of this user, or others may enter it; says which and how to mend
//   it
Status private_directory(const std::string& path);
// Creates all missing levels of `path`.
Status make_directories(const std::string& path, unsigned mode = 0755);
// True if the directory is on tmpfs.
bool is_tmpfs(const std::string& path);
// Bytes an unprivileged process can still allocate on the filesystem of `path`.
Result<uint64_t> free_bytes(const std::string& path);

// Milliseconds of the coarse monotonic clock, the same for all processes of the machine.
int64_t monotonic_coarse_ms();
int64_t monotonic_ns();
// `timeout` after `start_ns`, at once if it is negative, or the end of time if it is too long to
// say.
int64_t deadline_ns(int64_t start_ns, std::chrono::nanoseconds timeout);
// Nanoseconds since the Unix epoch.
int64_t realtime_ns();

// Start time of a process in clock ticks since boot: with the pid it names a process for good.
//   kNotFound  no such process
Result<uint64_t> process_start_time(int32_t pid);
// The machine's boot id, or "" where /proc does not tell.
std::string boot_id();
// 32 hexadecimal digits from the kernel's random source.
std::string random_uuid();

}  // namespace ringlog::shm
