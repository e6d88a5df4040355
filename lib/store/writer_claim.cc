#include "store/writer_claim.h"

#include "shm/posix.h"
#include "store/limits.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <span>
#include <sstream>
#include <string_view>
#include <utility>

namespace ringlog::store {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;
constexpr size_t kClaimSizeMax = 4096;

// False also of one that is dead and not yet reaped: its files are closed.
bool is_alive(int32_t pid, uint64_t pid_start) {
  const shm::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const auto start = shm::process_start_time(pid);
  if (!start || *start != pid_start) return false;
  pollfd entry{pidfd.get(), POLLIN, 0};  // readable when it has ended
  return !pidfd || ::poll(&entry, 1, 0) == 0;
}

// What a claim says.
struct Claim {
  std::string boot;        // of the kernel
  uint64_t pid_space = 0;  // in which the pid counts; containers have their own
  int32_t pid = 0;
  uint64_t pid_start = 0;
  std::string host;
};

uint64_t pid_space() {
  struct stat info {};
  return ::stat("/proc/self/ns/pid", &info) == 0 ? info.st_ino : 0;
}

std::string own_line() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  const auto start = shm::process_start_time(::getpid());
  std::ostringstream line;
  line << shm::random_uuid() << " boot " << shm::boot_id() << " pids " << pid_space() << " pid "
       << ::getpid() << " started " << (start ? *start : 0) << " host " << host.data() << '\n';
  return line.str();
}

// False: it was not written by us, or not to its end.
bool parse(const std::string& text, Claim& claim) {
  std::istringstream line(text);
  std::string word;
  line >> word >> word >> claim.boot >> word >> claim.pid_space >> word >> claim.pid >> word >>
      claim.pid_start;
  const bool is_known = !line.fail();
  line >> word >> claim.host;
  return is_known;
}

// Now, by the clock that also stamps the claim: that of whoever has the files.
Result<int64_t> file_system_time_ns(const std::string& path) {
  const std::string probe = path + "." + shm::random_uuid();
  auto file = shm::open_file(probe, O_RDWR | O_CREAT | O_EXCL);
  if (!file) return file.take_error();
  const std::byte byte{'x'};
  Status written = shm::write_all(file->get(), std::span(&byte, 1), probe);
  struct stat info {};
  const bool is_known = written && ::fstat(file->get(), &info) == 0;
  ::unlink(probe.c_str());
  if (!written) return written.take_error();
  if (!is_known) return shm::errno_error("stat " + probe);
  return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

Error held(const std::string& path, const std::string& by) {
  return {Code::kIo, path + ": another service writes this run " + by};
}

// Done: the claim at `path` is nobody's any more.
Status check_free(const std::string& path) {
  const auto text = shm::read_file(path, kClaimSizeMax);
  struct stat info {};
  if (!text || ::stat(path.c_str(), &info) != 0) return Done{};  // given back just now
  Claim claim;
  const bool is_known = parse(*text, claim);
  if (is_known && claim.boot == shm::boot_id() && claim.pid_space == pid_space()) {
    if (!is_alive(claim.pid, claim.pid_start)) return Done{};
    return held(path, claim.pid == ::getpid() ? "(this process)"
                                              : "(process " + std::to_string(claim.pid) + ")");
  }
  auto now_ns = file_system_time_ns(path);
  if (!now_ns) return now_ns.take_error();
  const int64_t renewed_ns = int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
  const int64_t age_ms = (*now_ns - renewed_ns) / kNsPerMs;
  if (age_ms >= kClaimFreeMs) return Done{};
  const std::string who =
      is_known ? "(process " + std::to_string(claim.pid) + " of machine " + claim.host + ")"
               : "(nobody can tell who)";
  return held(path, who + ": it did so " + std::to_string(age_ms / 1000) +
                        " s ago; when it is dead, the run is free after " +
                        std::to_string(kClaimFreeMs / 1000) + " s");
}

}  // namespace

Result<std::unique_ptr<WriterClaim>> WriterClaim::take(const std::string& dir) {
  const std::string path = dir + "/WRITER";
  if (Status free = check_free(path); !free) return free.take_error();
  const std::string line = own_line();
  // Written beside and renamed, so that nobody ever reads half a line.
  const std::string draft = path + "." + line.substr(0, line.find(' '));
  auto file = shm::open_file(draft, O_WRONLY | O_CREAT | O_EXCL);
  if (!file) return file.take_error();
  Status written = shm::write_all(file->get(), std::as_bytes(std::span(line)), draft);
  if (written && ::rename(draft.c_str(), path.c_str()) != 0) {
    written = shm::errno_error("rename " + draft);
  }
  if (!written) {
    ::unlink(draft.c_str());
    return written.take_error();
  }
  return std::unique_ptr<WriterClaim>(new WriterClaim(path, line));
}

WriterClaim::~WriterClaim() {
  const auto text = shm::read_file(path_, kClaimSizeMax);
  if (text && *text == line_) ::unlink(path_.c_str());
}

Status WriterClaim::renew(bool always) {
  const int64_t now_ns = shm::monotonic_ns();
  if (!always && renewed_ns_ != 0 && now_ns - renewed_ns_ < kClaimRenewMs * kNsPerMs) return Done{};
  const auto text = shm::read_file(path_, kClaimSizeMax);
  if (!text) return text.error();
  if (*text != line_) {
    Claim claim;
    return held(path_, parse(*text, claim) ? "now (process " + std::to_string(claim.pid) +
                                                 " of machine " + claim.host + ")"
                                           : "now");
  }
  if (::utimensat(AT_FDCWD, path_.c_str(), nullptr, 0) != 0) {
    return shm::errno_error("renew " + path_);
  }
  renewed_ns_ = now_ns;
  return Done{};
}

}  // namespace ringlog::store
