#include "store/written_time.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace ringlog::store {

namespace {

namespace fs = std::filesystem;

int64_t mtime_ns(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return 0;
  return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

void set_mtime_ns(const std::string& path, int64_t time_ns) {
  const timespec changed{time_ns / 1'000'000'000, time_ns % 1'000'000'000};
  const timespec times[] = {{0, UTIME_OMIT}, changed};
  static_cast<void>(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW));
}

template <typename Visit>
void for_each_log(const std::string& store_dir, const Visit& visit) {
  std::error_code error;
  for (fs::directory_iterator it(store_dir, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".log") visit(it->path().string());
  }
}

}  // namespace

// Rows go to the log, which is not a change of the folder.
int64_t written_ns(const std::string& store_dir) {
  int64_t newest = mtime_ns(store_dir);
  for_each_log(store_dir,
               [&](const std::string& log) { newest = std::max(newest, mtime_ns(log)); });
  return newest;
}

void set_written_ns(const std::string& store_dir, int64_t time_ns) {
  for_each_log(store_dir, [&](const std::string& log) { set_mtime_ns(log, time_ns); });
  set_mtime_ns(store_dir, time_ns);
}

}  // namespace ringlog::store
