#include "daemon/leftovers.h"

#include "daemon/log.h"
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

// One that cannot be read is nobody's: find_segments() puts it aside.
bool is_producer_running(const fs::path& segment) {
  const auto fd = shm::open_file(segment.string(), O_RDONLY | O_NOFOLLOW);
  const auto header = fd ? shm::read_segment_header(fd->get(), segment.string())
                         : Result<shm::SegmentHeader>(fd.error());
  if (!header) return false;
  const auto start = shm::process_start_time(header->pid);
  return start && *start == header->pid_start;
}

// Whole or half-made, it keeps its name, which is unique.
void move_files(const std::vector<fs::path>& files, const std::string& to,
                std::vector<FoundSegment>& moved) {
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
    if (!path.ends_with(".seg")) continue;
    auto fd = shm::open_file(path, O_RDWR | O_NOFOLLOW);
    auto segment = fd ? read_segment(std::move(*fd), path) : Result<FoundSegment>(fd.take_error());
    if (segment) {
      moved.push_back(std::move(*segment));
    } else if (segment.error().code != Code::kVersion) {
      move_aside(path, segment.error().message);
    }
  }
}

void take_over(const RuntimeDir& left, const RuntimeDir& place, std::vector<FoundSegment>& moved) {
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

std::vector<FoundSegment> take_over_leftovers(const RuntimeDir& place) {
  std::vector<FoundSegment> moved;
  for (const std::string& dir : shm::list_in_process_dirs(place.in_process)) {
    if (dir == place.path || shm::is_owner_running(dir)) continue;
    const auto left = lock_left_dir(dir);
    if (!left) continue;
    const size_t before = moved.size();
    take_over(*left, place, moved);
    log().info("{} was left by a program that ended: {} segments", dir, moved.size() - before);
  }
  return moved;
}

}  // namespace ringlog::service
