#include "shm/in_process_dir.h"

#include "shm/posix.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace ringlog::shm {

std::string in_process_folder(const std::string& runtime_dir) {
  return runtime_dir + "/in-process";
}

std::string in_process_dir(const std::string& runtime_dir) {
  const int32_t pid = ::getpid();
  // Without /proc the pid alone must do: the lock inside says who lives there.
  const auto start = process_start_time(pid);
  return in_process_folder(runtime_dir) + "/" + std::to_string(pid) + "-" +
         std::to_string(start ? *start : 0);
}

std::vector<std::string> list_in_process_dirs(const std::string& folder) {
  std::vector<std::string> dirs;
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(folder, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    dirs.push_back(it->path().string());
  }
  std::sort(dirs.begin(), dirs.end());
  return dirs;
}

bool is_owner_running(const std::string& dir) {
  const std::string name = dir.substr(dir.rfind('/') + 1);
  const size_t dash = name.find('-');
  if (dash == std::string::npos) return false;
  const int32_t pid = std::atoi(name.c_str());
  // Before the look at its start, so that it is not that of the next process with this number.
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const auto start = process_start_time(pid);
  if (!start || *start != std::strtoull(name.c_str() + dash + 1, nullptr, 10)) return false;
  pollfd death{process.get(), POLLIN, 0};
  return !process || ::poll(&death, 1, 0) != 1;
}

}  // namespace ringlog::shm
