#include <fcntl.h>
#include <fmt/format.h>
#include <linux/ioctl.h>
#include <ringlog/version.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "cli/doctor.h"
#include "cli/format.h"
#include "cli/service.h"
#include "client/launch.h"
#include "client/runtime_dir.h"
#include "shm/posix.h"
#include "store/file_system.h"

namespace ringlog::cli {

namespace {

namespace fs = std::filesystem;

// The service needs one for each process's segment and two for its socket and its pidfd.
constexpr rlim_t kFilesWanted = 1024;
constexpr uint64_t kDiskWanted = uint64_t{1} << 30;

std::string kernel_release() {
  utsname names{};
  return ::uname(&names) == 0 ? names.release : "unknown";
}

Finding check_files() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const std::string text =
      fmt::format("{} (at most {})", limit.rlim_cur,
                  limit.rlim_max == RLIM_INFINITY ? "any" : std::to_string(limit.rlim_max));
  if (limit.rlim_cur >= kFilesWanted) return {Health::kOk, "open files", text, ""};
  return {Health::kWarn, "open files", text + ": a job with many ranks may run out of them",
          "ulimit -n 4096 before the first process of the job starts"};
}

Finding check_memfd() {
  const auto file = shm::create_memfd("ringlog-doctor");
  if (file) return {Health::kOk, "memfd", "works", ""};
  return {Health::kFail, "memfd", file.error().message,
          "allow memfd_create in the sandbox's system call filter"};
}

// What PIDFD_GET_INFO fills in; of <linux/pidfd.h> of Linux 6.15, which older headers lack.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup_id;
  uint32_t ids[11];
  int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64, "PIDFD_INFO_SIZE_VER0");

// Whether a pidfd still tells how a process ended after its parent has reaped it; tried on a child.
bool tells_exit() {
  constexpr uint64_t kInfoExit = uint64_t{1} << 3;
  constexpr unsigned long kGetInfo = _IOWR(0xFF, 11, PidfdInfo);
  constexpr int kCode = 7;
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(kCode);
  if (pid < 0) return false;
  // Not reaped yet, so the pid is still its own.
  const shm::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  ::waitpid(pid, nullptr, 0);
  PidfdInfo info{};
  info.mask = kInfoExit;
  return pidfd && ::ioctl(pidfd.get(), kGetInfo, &info) == 0 && (info.mask & kInfoExit) != 0 &&
         WEXITSTATUS(info.exit_code) == kCode;
}

Finding check_pidfd() {
  const shm::Fd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  const std::string release = kernel_release();
  if (!self) {
    return {Health::kFail, "pidfd", shm::errno_error("pidfd_open on Linux " + release).message,
            "use Linux 5.3 or later, and allow pidfd_open in the sandbox's system call filter"};
  }
  if (tells_exit()) return {Health::kOk, "pidfd", "works, and tells how a process ended", ""};
  return {
      Health::kOk, "pidfd",
      fmt::format("works; Linux {} does not tell how a process ended after its parent reaped it "
                  "(6.15 does), so such a rank may be \"crashed\" without a cause",
                  release),
      ""};
}

}  // namespace

void check_system(Findings& findings) {
  findings.push_back(check_files());
  findings.push_back(check_memfd());
  findings.push_back(check_pidfd());
}

void check_service(Findings& findings) {
  const auto program = client::find_service_program();
  if (program) {
    findings.push_back({Health::kOk, "service program", *program, ""});
  } else {
    findings.push_back({Health::kFail, "service program", program.error().message,
                        "install ringlogd beside ringlog, or set RINGLOG_SERVICE to its path"});
  }
  auto client = connect_service();
  if (!client && client.error().code == Code::kServiceGone) {
    findings.push_back(
        {Health::kOk, "service", "not running; the first run that starts will start it", ""});
    return;
  }
  if (!client) {
    findings.push_back({Health::kFail, "service", client.error().message,
                        "set RINGLOG_RUNTIME_DIR to a directory of your own"});
    return;
  }
  const auto status = ask_status(**client, kStatusWait);
  if (!status) {
    findings.push_back({Health::kFail, "service", status.error().message,
                        "look into service.log in " + client::runtime_dir() +
                            "; end the process if it hangs: rows stay in shared memory"});
    return;
  }
  const std::string text =
      fmt::format("pid {}, version {}, {}", status->pid, printable(status->version),
                  format_plural(status->runs.size(), "open run"));
  if (status->version == RINGLOG_VERSION) {
    findings.push_back({Health::kOk, "service", text, ""});
    return;
  }
  findings.push_back({Health::kWarn, "service",
                      text + fmt::format("; this command is version {}", RINGLOG_VERSION),
                      "ringlog service stop; the next run starts the installed one"});
}

void check_locks(const std::string& folder, Findings& findings) {
  const std::string check = "its locks";
  const auto file = shm::open_file(folder, O_RDONLY | O_DIRECTORY);
  if (!file) {
    findings.push_back({Health::kFail, check, file.error().message, "look at its mode and mount"});
    return;
  }
  const store::FileSystem system = store::file_system_of(file->get());
  const std::string where = fmt::format("{} (file system {})", folder, system.type);
  // A shared lock, which disturbs nobody; one that somebody else holds shows that locks work.
  if (::flock(file->get(), LOCK_SH | LOCK_NB) != 0 && errno != EWOULDBLOCK) {
    findings.push_back({Health::kFail, check, shm::errno_error(where + " has none: flock").message,
                        "mount it with locks, or set RINGLOG_DIR to a folder elsewhere"});
    return;
  }
  if (system.is_shared) {
    findings.push_back({Health::kWarn, check,
                        where + ": they may not reach other machines or mounts; a file WRITER in a "
                                "store says who writes it",
                        "one machine for one run, or set RINGLOG_DIR to a local disk"});
    return;
  }
  findings.push_back({Health::kOk, check, where + " keeps them", ""});
}

void check_root(const std::string& root, Findings& findings) {
  std::error_code error;
  fs::path part = root;
  while (part.has_relative_path() && !fs::exists(part, error)) part = part.parent_path();
  const std::string check = "folder of runs";
  if (!fs::is_directory(part, error)) {
    findings.push_back({Health::kFail, check, part.string() + " is not a directory",
                        "set RINGLOG_DIR (or --dir) to another place"});
    return;
  }
  if (::access(part.c_str(), W_OK | X_OK) != 0) {
    findings.push_back({Health::kFail, check,
                        shm::errno_error(part.string() + " cannot be written").message,
                        "set RINGLOG_DIR to a place where you may write"});
    return;
  }
  const auto free = shm::free_bytes(part.string());
  const std::string text =
      fmt::format("{}{}, {} free", root, part == root ? "" : " (made by the first run)",
                  free ? format_bytes(*free) : "unknown");
  if (!free || *free >= kDiskWanted) {
    findings.push_back({Health::kOk, check, text, ""});
  } else {
    findings.push_back({Health::kWarn, check, text,
                        "make room; when the disk is full rows wait in shared memory and are then "
                        "dropped, counted"});
  }
  check_locks(part.string(), findings);
}

}  // namespace ringlog::cli
