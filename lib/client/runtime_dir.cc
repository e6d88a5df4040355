#include "client/runtime_dir.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <utility>

#include "shm/in_process_dir.h"

namespace ringlog::client {

namespace {

std::string absolute(const std::string& path) {
  std::error_code error;
  auto full = std::filesystem::absolute(path, error);
  std::string text = error ? path : full.lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

bool is_directory(const char* path) {
  struct stat info {};
  return ::stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

}  // namespace

std::string runtime_dir() {
  if (const char* dir = std::getenv("RINGLOG_RUNTIME_DIR"); dir != nullptr && *dir != '\0') {
    return absolute(dir);
  }
  const char* xdg = std::getenv("XDG_RUNTIME_DIR");
  if (xdg != nullptr && *xdg == '/' && is_directory(xdg)) return absolute(xdg) + "/ringlog";
  const std::string user = "ringlog-" + std::to_string(::geteuid());
  return (is_directory("/dev/shm") ? "/dev/shm/" : "/tmp/") + user;
}

std::vector<std::string> runtime_dirs() {
  std::vector<std::string> dirs = {runtime_dir()};
  for (std::string& dir : shm::list_in_process_dirs(shm::in_process_folder(dirs.front()))) {
    dirs.push_back(std::move(dir));
  }
  return dirs;
}

std::string socket_path(const std::string& directory, int dir_fd) {
  constexpr std::string_view kName = "/service.sock";
  if (directory.size() + kName.size() < sizeof(sockaddr_un::sun_path)) {
    return directory + std::string(kName);
  }
  return "/proc/self/fd/" + std::to_string(dir_fd) + std::string(kName);
}

}  // namespace ringlog::client
