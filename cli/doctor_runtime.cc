#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "cli/doctor.h"
#include "cli/format.h"
#include "client/control_client.h"
#include "client/runtime_dir.h"
#include "shm/posix.h"
#include "shm/segment.h"

namespace ringlog::cli {

namespace {

namespace fs = std::filesystem;

// A segment with rings of the default sizes takes 3.5 MiB; this is room for a job of 64 ranks.
constexpr uint64_t kRoomWanted = uint64_t{256} << 20;

// The directory itself, or the nearest one above it that exists.
std::string existing_part(const std::string& path) {
  std::error_code error;
  fs::path part = path;
  while (part.has_relative_path() && !fs::exists(part, error)) part = part.parent_path();
  return part.string();
}

std::string user_name(uid_t uid) {
  const passwd* entry = ::getpwuid(uid);
  return entry == nullptr ? std::to_string(uid) : entry->pw_name;
}

Finding check_owner(const std::string& path) {
  Finding finding{Health::kOk, "runtime directory", path, ""};
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    const std::string above = existing_part(path);
    if (::access(above.c_str(), W_OK) == 0) {
      finding.text += ", made when the first run starts";
      return finding;
    }
    return {Health::kFail, finding.check, path + " cannot be made: " + above + " is not writable",
            "set RINGLOG_RUNTIME_DIR to a directory of your own, best on tmpfs"};
  }
  if (!S_ISDIR(info.st_mode)) {
    return {Health::kFail, finding.check, path + " is not a directory", "remove it"};
  }
  if (info.st_uid != ::geteuid()) {
    return {Health::kFail, finding.check,
            fmt::format("{} belongs to user {}, not to {}", path, user_name(info.st_uid),
                        user_name(::geteuid())),
            "remove it, or set RINGLOG_RUNTIME_DIR to a directory of your own"};
  }
  if ((info.st_mode & 077) != 0) {
    return {Health::kFail, finding.check,
            fmt::format("{} has mode {:04o}: others may enter it", path, info.st_mode & 07777),
            "chmod 700 " + path};
  }
  return finding;
}

Finding check_filesystem(const std::string& path) {
  const std::string part = existing_part(path);
  if (shm::is_tmpfs(part)) return {Health::kOk, "its filesystem", part + " is on tmpfs", ""};
  return {Health::kWarn, "its filesystem",
          part + " is not on tmpfs; rings go to /dev/shm or, without it, to that disk",
          "set RINGLOG_RUNTIME_DIR to a directory on tmpfs, such as /dev/shm/ringlog"};
}

Finding check_room(const std::string& check, const std::string& path) {
  const auto free = shm::free_bytes(path);
  if (!free) return {Health::kFail, check, free.error().message, "mount it"};
  if (*free >= kRoomWanted) {
    return {Health::kOk, check, fmt::format("{}: {} free", path, format_bytes(*free)), ""};
  }
  return {
      Health::kWarn, check,
      fmt::format("{}: only {} free; rings that do not fit become files in /var/tmp, where the "
                  "disk can make a log() wait",
                  path, format_bytes(*free)),
      "make room, or a larger one: docker run --shm-size=1g, or mount -o remount,size=1g " + path};
}

Finding check_socket_path(const std::string& directory) {
  const size_t size = directory.size() + std::string_view("/service.sock").size();
  constexpr size_t kSizeMax = sizeof(sockaddr_un::sun_path) - 1;
  const std::string check = "socket path";
  if (size <= kSizeMax) {
    return {Health::kOk, check, fmt::format("{} of at most {} bytes", size, kSizeMax), ""};
  }
  if (::access("/proc/self/fd", X_OK) == 0) {
    return {Health::kOk, check,
            fmt::format("{} bytes, more than {}; it is reached through /proc", size, kSizeMax), ""};
  }
  return {Health::kFail, check,
          fmt::format("{} is {} bytes long; a socket's path holds {}", directory, size, kSizeMax),
          "set RINGLOG_RUNTIME_DIR to a shorter path, or mount /proc"};
}

struct Leftovers {
  uint64_t live = 0;
  uint64_t dead = 0;
  std::vector<std::string> unreadable;
};

// The segments in one folder; one without the folder has none.
void count_segments(const std::string& folder, Leftovers& found) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".seg") continue;
    const std::string path = entry.path().string();
    const auto file = shm::open_file(path, O_RDONLY);
    const auto header = file ? shm::read_segment_header(file->get(), path)
                             : Result<shm::SegmentHeader>(file.error());
    if (!header) {
      found.unreadable.push_back(header.error().message);
      continue;
    }
    const auto start = shm::process_start_time(header->pid);
    ++(start && *start == header->pid_start ? found.live : found.dead);
  }
}

Leftovers find_segments(const std::string& runtime_dir) {
  Leftovers found;
  count_segments(runtime_dir + "/segments", found);
  // Where the runtime directory is on a disk, the service keeps them in /dev/shm; where a tmpfs has
  // no room for them, in /var/tmp.
  const std::string prefix = fmt::format("ringlog-{}-", ::geteuid());
  for (const char* shared : {"/dev/shm", "/var/tmp"}) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(shared, error)) {
      if (entry.path().filename().string().starts_with(prefix)) {
        count_segments(entry.path().string(), found);
      }
    }
  }
  return found;
}

void check_segments(const std::string& runtime_dir, Findings& findings) {
  const Leftovers found = find_segments(runtime_dir);
  for (const std::string& message : found.unreadable) {
    findings.push_back({Health::kWarn, "segments", message,
                        "it is of another version or damaged; remove it when no run needs it"});
  }
  const std::string text =
      fmt::format("{} of running processes, {} of ended ones", found.live, found.dead);
  const bool has_service = static_cast<bool>(client::ControlClient::connect(runtime_dir));
  if (found.dead == 0 || has_service) {
    findings.push_back({Health::kOk, "segments", text, ""});
    return;
  }
  findings.push_back({Health::kWarn, "segments",
                      text + ": they hold rows that no service has stored yet",
                      "ringlog service start stores them"});
}

// The value of RemoveIPC that logind uses: the last one in its files, yes without any.
bool is_ipc_removed() {
  std::vector<fs::path> files = {"/etc/systemd/logind.conf"};
  for (const char* folder : {"/usr/lib/systemd/logind.conf.d", "/run/systemd/logind.conf.d",
                             "/etc/systemd/logind.conf.d"}) {
    std::error_code error;
    std::vector<fs::path> parts;
    for (const auto& entry : fs::directory_iterator(folder, error)) parts.push_back(entry.path());
    std::sort(parts.begin(), parts.end());
    files.insert(files.end(), parts.begin(), parts.end());
  }
  bool is_removed = true;
  for (const fs::path& file : files) {
    constexpr size_t kConfigSizeMax = 1 << 20;
    const auto text = shm::read_file(file.string(), kConfigSizeMax);
    if (!text) continue;
    std::istringstream lines(*text);
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("RemoveIPC=")) continue;
      const std::string value = line.substr(line.find('=') + 1);
      is_removed = value != "no" && value != "false" && value != "0" && value != "off";
    }
  }
  return is_removed;
}

Finding check_logind(const std::string& runtime_dir) {
  const std::string check = "login manager";
  constexpr uid_t kSystemUidMax = 999;
  if (::geteuid() <= kSystemUidMax) return {Health::kOk, check, "leaves system users alone", ""};
  if (!fs::exists("/run/systemd/sessions")) return {Health::kOk, check, "none is running", ""};
  const std::string user = user_name(::geteuid());
  if (fs::exists("/var/lib/systemd/linger/" + user)) {
    return {Health::kOk, check, "keeps the files of " + user + " (lingering)", ""};
  }
  const bool is_shm = runtime_dir.starts_with("/dev/shm/") && is_ipc_removed();
  const bool is_run = runtime_dir.starts_with("/run/user/");
  if (!is_shm && !is_run) return {Health::kOk, check, "does not touch " + runtime_dir, ""};
  return {Health::kWarn, check,
          fmt::format("deletes {} when {} logs out ({}); runs that go on lose their segments",
                      runtime_dir, user, is_shm ? "RemoveIPC=yes" : "the runtime directory"),
          "loginctl enable-linger " + user};
}

}  // namespace

void check_runtime_dir(Findings& findings) {
  const std::string path = client::runtime_dir();
  findings.push_back(check_owner(path));
  findings.push_back(check_filesystem(path));
  findings.push_back(check_room("its room", existing_part(path)));
  if (!path.starts_with("/dev/shm/")) findings.push_back(check_room("/dev/shm", "/dev/shm"));
  findings.push_back(check_socket_path(path));
  check_segments(path, findings);
  findings.push_back(check_logind(path));
}

}  // namespace ringlog::cli
