#include "bench/service.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern char** environ;

namespace ringlog::bench {

namespace {

namespace fs = std::filesystem;

constexpr double kStartSeconds = 20;
constexpr double kStopSeconds = 30;
constexpr double kCloseSeconds = 60;

// What a launcher or a user of ringlog may have set must not change what is measured.
void clear_environment() {
  std::vector<std::string> names;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string name(*entry, std::strcspn(*entry, "="));
    for (const char* prefix : {"RINGLOG_", "SLURM_", "OMPI_", "PMI", "TORCHELASTIC_", "MASTER_"}) {
      if (name.starts_with(prefix) && name != "RINGLOG_SERVICE") names.push_back(name);
    }
  }
  for (const char* name : {"RANK", "LOCAL_RANK", "WORLD_SIZE"}) names.emplace_back(name);
  for (const std::string& name : names) ::unsetenv(name.c_str());
}

std::string service_program() {
  if (const char* program = std::getenv("RINGLOG_SERVICE"); program != nullptr) return program;
  return fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "bin" / "ringlogd";
}

}  // namespace

Folders folders_of(const Arguments& arguments) {
  const std::string usual = fs::temp_directory_path();
  return {arguments.text("folder", usual),
          arguments.text("shm", fs::is_directory("/dev/shm") ? "/dev/shm" : usual)};
}

Place::Place(const Folders& folders) : runtime_(folders.shared_memory), root_(folders.disk) {
  clear_environment();
  ::setenv("RINGLOG_RUNTIME_DIR", runtime_.path().c_str(), 1);
  ::setenv("RINGLOG_DIR", root_.path().c_str(), 1);
  ::setenv("XDG_CONFIG_HOME", root_.path().c_str(), 1);
  ::setenv("RINGLOG_CONSOLE", "off", 1);
  ::setenv("RINGLOG_SERVICE", service_program().c_str(), 1);
}

Place::~Place() {
  try {
    end_service();
  } catch (const std::exception&) {
    // It was told to end, and nothing is left for it to do.
  }
}

pid_t Place::find_service() const {
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string pid = entry.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "cmdline", std::ios::binary);
    const std::string words{std::istreambuf_iterator<char>(file), {}};
    if (words.find("ringlogd") != words.npos && words.find(runtime_dir()) != words.npos) {
      return std::stoi(pid);
    }
  }
  return -1;
}

void Place::end_service() const {
  const pid_t pid = find_service();
  if (pid < 0) return;
  ::kill(pid, SIGTERM);
  for (const int64_t start = now_ns(); ::kill(pid, 0) == 0;) {
    if (static_cast<double>(now_ns() - start) > kStopSeconds * 1e9) {
      ::kill(pid, SIGKILL);
      fail("the service did not end");
    }
    pause_for(0.005);
  }
}

Service::Service(const Place& place) {
  const std::string program = service_program();
  std::array<int, 2> ready{};
  if (::pipe(ready.data()) != 0) fail_errno("pipe");
  process_ = std::make_unique<Child>([&] {
    constexpr int kReadyFd = 3;
    ::dup2(ready[1], kReadyFd);
    ::close_range(kReadyFd + 1, ~0U, 0);
    ::execl(program.c_str(), program.c_str(), "--runtime-dir", place.runtime_dir().c_str(),
            "--ready-fd", "3", nullptr);
    fail_errno(program);
  });
  ::close(ready[1]);
  pollfd entry{ready[0], POLLIN, 0};
  char answer = 0;
  const bool has_answer = ::poll(&entry, 1, static_cast<int>(kStartSeconds * 1000)) == 1 &&
                          ::read(ready[0], &answer, 1) == 1;
  ::close(ready[0]);
  if (!has_answer || answer != '1') fail("the service " + program + " does not start");
}

void Service::kill() {
  ::kill(process_->pid(), SIGKILL);
  process_.reset();
}

Service::~Service() {
  if (process_ == nullptr) return;
  ::kill(process_->pid(), SIGTERM);
  for (int i = 0; i < static_cast<int>(kStopSeconds * 100) && !process_->has_ended(); ++i) {
    pause_for(0.01);
  }
}

void wait_until_closed(pid_t service, const std::string& root) {
  const auto is_open = [&] {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(service) + "/fd")) {
      if (fs::read_symlink(entry.path(), error).string().starts_with(root)) return true;
    }
    return false;
  };
  for (const int64_t start = now_ns(); is_open(); pause_for(0.02)) {
    if (static_cast<double>(now_ns() - start) > kCloseSeconds * 1e9) {
      fail("the service keeps its runs open");
    }
  }
}

uint64_t disk_bytes_written(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/io");
  for (std::string word; file >> word;) {
    uint64_t bytes = 0;
    if (word == "write_bytes:" && file >> bytes) return bytes;
  }
  fail("process " + std::to_string(pid) + ": what it wrote cannot be read");
}

uint64_t disk_bytes(const std::string& folder) {
  uint64_t sum = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    struct stat info {};
    if (::lstat(entry.path().c_str(), &info) == 0)
      sum += static_cast<uint64_t>(info.st_blocks) * 512;
  }
  return sum;
}

}  // namespace ringlog::bench
