#include "client/launch.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <sstream>
#include <vector>

#include "client/runtime_dir.h"

namespace ringlog::client {

namespace {

namespace fs = std::filesystem;
using shm::errno_error;

bool is_program(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && ::access(path.c_str(), X_OK) == 0;
}

std::vector<fs::path> candidates() {
  std::vector<fs::path> places;
  if (const fs::path own(own_directory()); !own.empty()) {
    places.push_back(own / "ringlogd");
    places.push_back(own.parent_path() / "bin" / "ringlogd");
    // Debian's multiarch: lib/<triplet>/libringlog.so.
    places.push_back(own.parent_path().parent_path() / "bin" / "ringlogd");
  }
  std::error_code error;
  const fs::path exe = fs::read_symlink("/proc/self/exe", error);
  if (!error) places.push_back(exe.parent_path() / "ringlogd");
#ifdef RINGLOG_INSTALL_BINDIR
  places.emplace_back(fs::path(RINGLOG_INSTALL_BINDIR) / "ringlogd");
#endif
  if (const char* path = std::getenv("PATH"); path != nullptr) {
    std::istringstream parts(path);
    for (std::string part; std::getline(parts, part, ':');) {
      if (!part.empty()) places.push_back(fs::path(part) / "ringlogd");
    }
  }
  return places;
}

constexpr int kReadyFd = 3;

// Between two tries to start a service while another holds the directory and does not listen.
constexpr int64_t kOtherServiceNs = 100'000'000;

// What the service inherits: nothing but where it says that it is ready, `ready` or nowhere.
void describe(shm::Spawn& service, std::optional<int> ready) {
  service.open(STDIN_FILENO, "/dev/null", O_RDWR);
  service.connect(STDIN_FILENO, STDOUT_FILENO);
  service.connect(STDIN_FILENO, STDERR_FILENO);
  service.connect(ready.value_or(STDIN_FILENO), kReadyFd);
  service.close_from(kReadyFd + 1);
  service.set_directory("/");
  service.start_session();
  service.reset_signals();
}

std::vector<std::string> command(const std::string& program, const std::string& runtime_dir) {
  return {program,      "--runtime-dir",          runtime_dir,
          "--ready-fd", std::to_string(kReadyFd), "--started-by-client"};
}

// The program forks at once and its first process ends, so nobody's child is left behind.  The
// user's own SIGCHLD handling may have reaped it already, which is as good.
void reap(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// Starts the program with `ready` as its descriptor 3; everything else is closed.
Status spawn(const std::string& program, const std::string& runtime_dir, int ready) {
  shm::Spawn service;
  describe(service, ready);
  const auto pid = service.start(command(program, runtime_dir));
  if (!pid) return Error{pid.error()}.in("start");
  reap(*pid);
  return Done{};
}

Result<std::unique_ptr<ControlClient>> connect_until(const std::string& runtime_dir,
                                                     int64_t deadline_ns) {
  for (;;) {
    auto client = ControlClient::connect(runtime_dir);
    const bool is_gone = !client && client.error().code == Code::kServiceGone;
    if (!is_gone || shm::monotonic_ns() > deadline_ns) return client;
    ::poll(nullptr, 0, 5);
  }
}

// Reads what the service says through the pipe: "1" when it listens, else why it cannot.  False:
// another holds the directory.
Result<bool> await_ready(int fd, int64_t deadline_ns, const std::string& program) {
  std::string text;
  for (;;) {
    const int64_t left_ms = (deadline_ns - shm::monotonic_ns()) / 1'000'000;
    if (left_ms <= 0) return Error{Code::kServiceGone, program + " did not become ready in time"};
    pollfd entry{fd, POLLIN, 0};
    const int n = ::poll(&entry, 1, static_cast<int>(left_ms));
    if (n < 0 && errno != EINTR) return errno_error("wait for " + program);
    if (n <= 0) continue;
    std::array<char, 512> part{};
    const ssize_t size = ::read(fd, part.data(), part.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    text.append(part.data(), static_cast<size_t>(size));
    if (text.front() == '1') return true;
  }
  if (text.starts_with("already running")) return false;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return Error{Code::kServiceGone,
               program + (text.empty() ? " ended while starting" : ": " + text)};
}

struct Pipe {
  shm::Fd read;
  shm::Fd write;
};
Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error("make a pipe");
  auto read = shm::above_standard(shm::Fd(ends[0]));
  auto write = shm::above_standard(shm::Fd(ends[1]));
  if (!read) return read.take_error();
  if (!write) return write.take_error();
  return Pipe{std::move(*read), std::move(*write)};
}

std::string lock_path(const std::string& runtime_dir) { return runtime_dir + "/launch.lock"; }

Result<shm::Fd> open_lock(const std::string& runtime_dir) {
  return shm::open_file(lock_path(runtime_dir), O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
}

// Waits for the election's lock.  The holder is starting the service, so this is short; it is asked
// for in small steps because flock() has no timeout and a stopped holder must not stop us.
Status lock_until(int fd, int64_t deadline_ns) {
  int64_t pause_ms = 1;
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return errno_error("lock launch.lock");
    if (shm::monotonic_ns() > deadline_ns) {
      return Error{Code::kTimeout, "another process has been starting the service for too long"};
    }
    ::poll(nullptr, 0, static_cast<int>(pause_ms));
    pause_ms = std::min<int64_t>(pause_ms * 2, 16);
  }
  return Done{};
}

// As await_ready().
Result<bool> launch_and_wait(const std::string& runtime_dir, int64_t deadline_ns) {
  auto program = find_service_program();
  if (!program) return program.take_error();
  auto ready = make_pipe();
  if (!ready) return ready.take_error();
  if (Status s = spawn(*program, runtime_dir, ready->write.get()); !s) return s.take_error();
  ready->write.reset();
  return await_ready(ready->read.get(), deadline_ns, *program);
}

}  // namespace

std::string own_directory() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&find_service_program), &info) == 0) return {};
  std::error_code error;
  return fs::canonical(info.dli_fname, error).parent_path().string();
}

Result<std::string> find_service_program() {
  if (const char* program = std::getenv("RINGLOG_SERVICE"); program != nullptr && *program != 0) {
    if (is_program(program)) return fs::absolute(program).string();
    return Error{Code::kNotFound, std::string("RINGLOG_SERVICE is ") + program +
                                      ", which is not a program that can be run"};
  }
  std::string tried;
  for (const fs::path& place : candidates()) {
    // Absolute, because the program starts in the root directory.
    if (is_program(place)) return fs::absolute(place).string();
    tried += (tried.empty() ? "" : ", ") + place.string();
  }
  return Error{Code::kNotFound, "the service program ringlogd was not found; looked at " + tried +
                                    "; set RINGLOG_SERVICE to its path"};
}

Result<std::unique_ptr<ControlClient>> connect_or_launch(const std::string& runtime_dir,
                                                         std::chrono::milliseconds timeout) {
  const int64_t deadline =
      shm::monotonic_ns() + std::chrono::duration_cast<std::chrono::nanoseconds>(timeout).count();
  if (Status s = shm::private_directory(runtime_dir); !s) {
    return std::move(s.take_error()).in("runtime directory");
  }
  auto client = ControlClient::connect(runtime_dir);
  if (client || client.error().code != Code::kServiceGone) return client;
  auto lock = open_lock(runtime_dir);
  if (!lock) return std::move(lock.take_error()).in("runtime directory");
  if (Status s = lock_until(lock->get(), deadline); !s) return s.take_error();
  for (;;) {
    client = ControlClient::connect(runtime_dir);
    if (client || client.error().code != Code::kServiceGone) return client;
    const auto is_listening = launch_and_wait(runtime_dir, deadline);
    if (!is_listening) return is_listening.error();
    if (*is_listening) return ControlClient::connect(runtime_dir);
    // One that was started in the background is about to listen.  One that ends listens no more and
    // may be long at storing what there is; the next can be started once it is gone.
    const int64_t now = shm::monotonic_ns();
    client = connect_until(runtime_dir, std::min(deadline, now + kOtherServiceNs));
    if (client || now > deadline) return client;
  }
}

BackgroundLaunch::BackgroundLaunch(const std::string& runtime_dir)
    : lock_path_(lock_path(runtime_dir)) {
  address_.sun_family = AF_UNIX;
  const std::string socket = socket_path(runtime_dir, -1);
  if (socket.starts_with(runtime_dir)) std::memcpy(address_.sun_path, socket.data(), socket.size());
  const auto program = find_service_program();
  if (!program) return;
  describe(spawn_, std::nullopt);
  spawn_.prepare(command(*program, runtime_dir));
  has_program_ = true;
}

bool BackgroundLaunch::is_answered() const noexcept {
  if (address_.sun_path[0] == '\0') return false;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const bool is_there =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address_), sizeof address_) == 0 ||
      errno == EAGAIN;
  ::close(fd);
  return is_there;
}

void BackgroundLaunch::start() noexcept {
  if (!has_program_ || is_answered()) return;
  const int lock = ::open(lock_path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (lock < 0) return;
  pid_t pid = -1;
  // Otherwise somebody else is at it.
  if (::flock(lock, LOCK_EX | LOCK_NB) == 0 && spawn_.start_prepared(pid) == 0) reap(pid);
  ::close(lock);
}

}  // namespace ringlog::client
