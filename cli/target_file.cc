#include "cli/target_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <utility>

namespace ringlog::cli {

namespace {

bool is_special(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
}

}  // namespace

Result<TargetFile> TargetFile::create(const std::string& path) {
  if (is_special(path)) {
    auto fd = shm::open_file(path, O_WRONLY);
    if (!fd) return fd.take_error();
    return TargetFile(path, "", *std::move(fd));
  }
  // A link keeps pointing at its file; the file is what is replaced.
  std::error_code error;
  const auto real = std::filesystem::weakly_canonical(path, error);
  const std::string target = error ? path : real.string();
  const std::string temporary = target + ".part-" + std::to_string(::getpid());
  auto fd = shm::open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (!fd) return fd.take_error();
  return TargetFile(target, temporary, *std::move(fd));
}

TargetFile::~TargetFile() {
  if (fd_ && !temporary_.empty()) ::unlink(temporary_.c_str());
}

Status TargetFile::publish() {
  if (temporary_.empty()) return Done{};
  if (::fsync(fd_.get()) != 0) return shm::errno_error("write to " + path_);
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return shm::errno_error("rename " + temporary_ + " to " + path_);
  }
  temporary_.clear();
  return Done{};
}

}  // namespace ringlog::cli
