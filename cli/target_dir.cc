#include "cli/target_dir.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "shm/posix.h"

namespace ringlog::cli {

namespace {

namespace fs = std::filesystem;

Error error_of(const std::string& what, const std::error_code& error) {
  return shm::errno_error(what, error.value());
}

}  // namespace

Result<TargetDir> TargetDir::create(const std::string& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error).lexically_normal();
  if (error) return error_of("find " + path, error);
  // A trailing slash makes the last part empty.
  const fs::path target = absolute.has_filename() ? absolute : absolute.parent_path();
  if (fs::exists(target, error) &&
      !(fs::is_directory(target, error) && fs::is_empty(target, error)))
    return Error{Code::kInvalidArgument, path + " is there already and is no empty folder"};
  const std::string temporary = target.string() + ".part-" + std::to_string(::getpid());
  fs::remove_all(temporary, error);
  error.clear();
  fs::create_directories(temporary, error);
  if (error) return error_of("make folder " + temporary, error);
  return TargetDir(target.string(), temporary);
}

TargetDir::~TargetDir() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

Status TargetDir::publish() {
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return shm::errno_error("rename " + temporary_ + " to " + path_);
  }
  temporary_.clear();
  return Done{};
}

}  // namespace ringlog::cli
