#pragma once
// A real service for tests of the hot path, apart from the user's own: its runtime directory, its
// root of runs, its process, and an environment that names them to ringlog::init().
//
// One thread, which must not have started others: the service is forked from it, and so are the
// tests' children.  Everything is ended and removed by the destructor.

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "environment.h"
#include "temp_dir.h"

namespace ringlog::test {

// Instructions, allocations and system calls of a sanitizer are not those of what is shipped.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kIsSanitized = true;
#else
inline constexpr bool kIsSanitized = false;
#endif

class ServicePlace {
 public:
  ServicePlace() {
    environment_.set("RINGLOG_RUNTIME_DIR", runtime_);
    environment_.set("RINGLOG_DIR", root_);
    environment_.set("RINGLOG_CONSOLE", "off");
    environment_.set("RINGLOG_MONITOR", "off");
    environment_.set("RINGLOG_SURROUNDINGS", "off");
    environment_.set("RINGLOG_SERVICE", program_);
    environment_.set("RINGLOG_IDLE_EXIT_S", "1");  // of those that clients start
    start();
  }
  ~ServicePlace() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  // Returns when it is dead; a client may start the next one, which ends by itself.
  void kill_service() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  ServicePlace(const ServicePlace&) = delete;
  ServicePlace& operator=(const ServicePlace&) = delete;

 private:
  void start() {
    std::array<int, 2> ready{};
    if (::pipe2(ready.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    pid_ = ::fork();
    if (pid_ == 0) become_service(ready[1]);
    ::close(ready[1]);
    char answer = 0;
    const bool is_ready = pid_ > 0 && ::read(ready[0], &answer, 1) == 1 && answer == '1';
    ::close(ready[0]);
    if (!is_ready) throw std::runtime_error(program_ + " does not start");
  }
  [[noreturn]] void become_service(int ready_fd) const {
    constexpr int kReadyFd = 3;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    // The same number would keep its close-on-exec flag.
    const int spare = ::fcntl(ready_fd, F_DUPFD, kReadyFd + 1);
    ::dup2(spare, kReadyFd);
    ::close(spare);
    ::execl(program_.c_str(), program_.c_str(), "--runtime-dir", runtime_.c_str(), "--ready-fd",
            "3", nullptr);
    ::_exit(127);
  }

  Environment environment_;
  const TempDir dir_{std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : ""};
  const std::string runtime_ = dir_.file("runtime");
  const std::string root_ = dir_.file("runs");
  const std::string program_ =
      std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "bin/ringlogd";
  pid_t pid_ = -1;
};

}  // namespace ringlog::test
