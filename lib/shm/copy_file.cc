#include "shm/copy_file.h"

#include "shm/posix.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ringlog::shm {

namespace {

// Bytes between two looks at whether to give up.
constexpr size_t kCopyPart = size_t{8} << 20;
constexpr int kCopyTries = 3;

FileStamp stamp_from(const struct stat& info) {
  return {static_cast<uint64_t>(info.st_size),
          int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec, info.st_ino};
}

Status check_regular(const struct stat& info, const std::string& path) {
  if (S_ISREG(info.st_mode)) return Done{};
  const char* const kind = S_ISDIR(info.st_mode) ? " is a folder" : " is no regular file";
  return Error{Code::kInvalidArgument, path + kind};
}

Result<struct stat> look_at(int fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return errno_error("stat " + path);
  if (Status s = check_regular(info, path); !s) return s.take_error();
  return info;
}

// A pipe at that place must not stop us, so nothing waits for its other end.
Result<Fd> open_source(const std::string& path) { return open_file(path, O_RDONLY | O_NONBLOCK); }

bool is_unsupported(int error) {
  return error == EXDEV || error == EINVAL || error == ENOSYS || error == EOPNOTSUPP ||
         error == EPERM;
}

Status copy_bytes(int from, int to, uint64_t size, const CopySpec& spec) {
  const Error given_up{Code::kTimeout, "copying " + spec.source + " was given up"};
  if (::ioctl(to, FICLONE, from) == 0) return spec.on_bytes(size) ? Status(Done{}) : given_up;
  // Of a file that grows, no more than it had: the rest comes with the next copy.
  bool is_by_range = true;
  for (uint64_t done = 0; done < size;) {
    const size_t part = std::min<uint64_t>(kCopyPart, size - done);
    const ssize_t n = is_by_range ? ::copy_file_range(from, nullptr, to, nullptr, part, 0)
                                  : ::sendfile(to, from, nullptr, part);
    if (n < 0 && errno == EINTR) continue;
    // Some file systems answer 0 although there is more.
    if (is_by_range && done == 0 && (n == 0 || (n < 0 && is_unsupported(errno)))) {
      is_by_range = false;
      continue;
    }
    if (n < 0) return errno_error("copy " + spec.source + " to " + spec.folder + "/" + spec.name);
    if (n == 0) break;  // cut short meanwhile
    done += static_cast<uint64_t>(n);
    if (!spec.on_bytes(static_cast<uint64_t>(n))) return given_up;
  }
  return Done{};
}

// The folder that the copy goes into, made if need be; `name` becomes its last part.
Result<Fd> open_target(const CopySpec& spec, std::string& name) {
  auto folder = open_file(spec.folder, O_RDONLY | O_DIRECTORY);
  for (size_t at = 0; folder;) {
    const size_t end = spec.name.find('/', at);
    name = spec.name.substr(at, end == std::string::npos ? end : end - at);
    if (name.empty() || name == "." || name == "..") {
      return Error{Code::kInvalidArgument, "the name " + spec.name + " leads out of its folder"};
    }
    if (end == std::string::npos) return folder;
    if (::mkdirat(folder->get(), name.c_str(), 0700) != 0 && errno != EEXIST) {
      return errno_error("make folder " + name + " in " + spec.folder);
    }
    folder = open_at(folder->get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    at = end + 1;
  }
  return folder;
}

Status finish_draft(int draft, const struct stat& from, const CopySpec& spec) {
  const timespec times[2] = {{0, UTIME_OMIT}, from.st_mtim};
  ::futimens(draft, times);
  ::fchmod(draft, (from.st_mode & 0777) | S_IRUSR | S_IWUSR);
  if (spec.is_synced && ::fdatasync(draft) != 0) {
    return errno_error("sync the copy of " + spec.source);
  }
  return Done{};
}

// One try; `has_changed` says that the source did.
Result<CopiedFile> copy_once(const CopySpec& spec, int folder, const std::string& name) {
  auto from = open_source(spec.source);
  if (!from) return from.take_error();
  auto before = look_at(from->get(), spec.source);
  if (!before) return before.take_error();
  struct stat there {};
  if (::fstatat(folder, name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
      there.st_ino == before->st_ino && there.st_dev == before->st_dev) {
    return CopiedFile{stamp_from(*before)};
  }
  auto draft = open_at(folder, spec.draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW);
  if (!draft) return draft.take_error();
  const auto size = static_cast<uint64_t>(before->st_size);
  Status copied = copy_bytes(from->get(), draft->get(), size, spec);
  if (copied) copied = finish_draft(draft->get(), *before, spec);
  if (copied && ::renameat(folder, spec.draft.c_str(), folder, name.c_str()) != 0) {
    copied = errno_error("rename the copy of " + spec.source + " to " + spec.name);
  }
  if (!copied) {
    ::unlinkat(folder, spec.draft.c_str(), 0);
    return copied.take_error();
  }
  auto after = look_at(from->get(), spec.source);
  return CopiedFile{stamp_from(*before), !after || stamp_from(*after) != stamp_from(*before)};
}

}  // namespace

Result<FileStamp> stamp_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return errno_error("open " + path);
  if (Status s = check_regular(info, path); !s) return s.take_error();
  return stamp_from(info);
}

Result<CopiedFile> copy_file(const CopySpec& spec) {
  std::string name;
  auto folder = open_target(spec, name);
  if (!folder) return folder.take_error();
  for (int tries = 1;; ++tries) {
    auto copied = copy_once(spec, folder->get(), name);
    if (!copied || !copied->has_changed || tries == kCopyTries) return copied;
  }
}

}  // namespace ringlog::shm
