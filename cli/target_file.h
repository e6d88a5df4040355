#pragma once
// TargetFile: a file that appears whole or not at all.
//
// It is written under a temporary name beside its place and renamed by publish(); without publish()
// the temporary file is removed again.  A place that is no regular file (a pipe, /dev/null) is
// written directly.  A resource of one thread.

#include <ringlog/result.h>

#include <string>

#include "shm/posix.h"

namespace ringlog::cli {

class TargetFile {
 public:
  //   kIo, kPermission, kNotFound  the file cannot be made; the message names the path
  static Result<TargetFile> create(const std::string& path);
  TargetFile(TargetFile&& other) noexcept = default;
  TargetFile& operator=(TargetFile&&) = delete;
  ~TargetFile();

  int fd() const { return fd_.get(); }
  // Makes what was written durable and gives it its name.
  //   kIo  the disk is full or fails; the path keeps what it had before
  Status publish();

 private:
  TargetFile(std::string path, std::string temporary, shm::Fd fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(std::move(fd)) {}

  std::string path_;
  std::string temporary_;  // empty: written directly, or published
  shm::Fd fd_;
};

}  // namespace ringlog::cli
