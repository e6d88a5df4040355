#pragma once
// TargetDir: a folder of files that appears whole or not at all.
//
// It is filled under a temporary name beside its place and renamed by publish(); without publish()
// it is removed again.  A resource of one thread.

#include <ringlog/result.h>

#include <string>
#include <utility>

namespace ringlog::cli {

class TargetDir {
 public:
  // `path` must not exist, or be an empty folder.
  //   kInvalidArgument  something is there
  //   kIo, kPermission, kNotFound  the folder cannot be made; the message names the path
  static Result<TargetDir> create(const std::string& path);
  TargetDir(TargetDir&& other) noexcept
      : path_(std::move(other.path_)), temporary_(std::exchange(other.temporary_, {})) {}
  TargetDir& operator=(TargetDir&&) = delete;
  ~TargetDir();

  // Where the files go for now.
  const std::string& place() const { return temporary_; }
  // Gives the folder its name.  Files that have to survive a power cut were synced before.
  //   kIo  somebody put something there meanwhile, or the disk fails
  Status publish();

 private:
  TargetDir(std::string path, std::string temporary)
      : path_(std::move(path)), temporary_(std::move(temporary)) {}

  std::string path_;
  std::string temporary_;  // empty: published, or moved from
};

}  // namespace ringlog::cli
