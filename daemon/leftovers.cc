#include "daemon/leftovers.h"

#include "daemon/log.h"
#include "daemon/process_watch.h"
#include "shm/in_process_dir.h"
#include "shm/posix.h"

#include <fcntl.h>
#include <stdio.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>

namespace ringlog::service {

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_of(const std::string& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator it(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    files.push_back(it->path());
  }
  return files;
}

// One that is damaged is nobody's: find_segment() puts it aside.  One that cannot be read now may
// be somebody's.
bool is_producer_running(const fs::path& segment) {
  const auto fd = shm::open_file(segment.string(), O_RDONLY | O_NOFOLLOW);
  const auto header = fd ? shm::read_segment_header(fd->get(), segment.string())
                         : Result<shm::SegmentHeader>(fd.error());
  if (!header) return header.error().code == Code::kIo;
  const auto pidfd = open_pidfd(header->pid, header->pid_start);
  return pidfd ? !is_dead(pidfd->get()) : pidfd.error().code != Code::kNotFound;
}

// Whole or half-made, it keeps its name, which is unique.
void move_files(const std::vector<fs::path>& files, const std::string& to, FoundSegments& moved) {
  if (files.empty()) return;
  if (Status s = shm::private_directory(to); !s) {
    log().error("segments are left behind: {}", s.error().message);
    return;
  }
  for (const fs::path& file : files) {
    const std::string path = to + "/" + file.filename().string();
    if (::rename(file.c_str(), path.c_str()) != 0) {
      log().error("segment left behind: {}", shm::errno_error("rename " + file.string()).message);
      continue;
    }
    if (path.ends_with(".seg")) find_segment(path, moved);
  }
}

void take_over(const RuntimeDir& left, const RuntimeDir& place, FoundSegments& moved) {
  const auto on_tmpfs = files_of(left.segments.directory);
  const auto on_disk = files_of(left.segments.overflow);
  for (const auto* files : {&on_tmpfs, &on_disk}) {
    if (std::any_of(files->begin(), files->end(), is_producer_running)) return;
  }
  move_files(on_tmpfs, place.segments.directory, moved);
  move_files(on_disk, place.segments.overflow, moved);
  remove_runtime_dir(left);
}

}  // namespace

FoundSegments take_over_leftovers(const RuntimeDir& place) {
  FoundSegments moved;
  for (const std::string& dir : shm::list_in_process_dirs(place.in_process)) {
    if (dir == place.path || shm::is_owner_running(dir)) continue;
    const auto left = lock_left_dir(dir);
    if (!left) continue;
    const size_t before = moved.segments.size();
    take_over(*left, place, moved);
    log().info("{} was left by a program that ended: {} segments", dir,
               moved.segments.size() - before);
  }
  return moved;
}

}  // namespace ringlog::service
