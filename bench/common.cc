#include "bench/common.h"

#include "bench/histogram.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

extern char** environ;

namespace ringlog::bench {

namespace fs = std::filesystem;

void fail(const std::string& what) { throw std::runtime_error(what); }

void fail_errno(const std::string& what) { fail(what + ": " + std::strerror(errno)); }

Arguments::Arguments(int argc, char** argv) {
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (!name.starts_with("--")) fail("not an option: " + name);
    if (i + 1 == argc) fail("no value: " + name);
    values_[name.substr(2)] = argv[i + 1];
  }
}

std::string Arguments::text(const std::string& name, const std::string& otherwise) const {
  const auto it = values_.find(name);
  return it == values_.end() ? otherwise : it->second;
}

double Arguments::number(const std::string& name, double otherwise) const {
  const auto it = values_.find(name);
  return it == values_.end() ? otherwise : std::stod(it->second);
}

void Figures::print() const {
  nlohmann::ordered_json all;
  for (const auto& [name, value] : numbers_) {
    // JSON has no infinities; four digits are more than any of these figures repeats.
    if (!std::isfinite(value)) continue;
    const double digits = value == 0 ? 1 : std::pow(10, 4 - std::ceil(std::log10(std::abs(value))));
    all[name] = std::abs(value) >= 1e4 ? std::round(value) : std::round(value * digits) / digits;
  }
  for (const auto& [name, text] : texts_) all[name] = text;
  std::printf("%s\n", all.dump(1).c_str());
  std::fflush(stdout);
}

void Figures::save(const std::string& path) const {
  const nlohmann::json all = {{"numbers", numbers_}, {"texts", texts_}};
  std::ofstream(path) << all;
}

void Figures::load(const std::string& path) {
  const auto all = nlohmann::json::parse(std::ifstream(path));
  for (const auto& [name, value] : all.at("numbers").items()) set(name, value);
  for (const auto& [name, text] : all.at("texts").items()) note(name, text);
}

int run_main(int argc, char** argv, const std::function<void(const Arguments&, Figures&)>& body) {
  try {
    Figures figures;
    body(Arguments(argc, argv), figures);
    figures.print();
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", argv[0], e.what());
    return 1;
  }
}

std::string count_name(uint64_t count) {
  if (count >= 1'000'000 && count % 1'000'000 == 0) return std::to_string(count / 1'000'000) + "m";
  if (count >= 1'000 && count % 1'000 == 0) return std::to_string(count / 1'000) + "k";
  return std::to_string(count);
}

// --- time --------------------------------------------------------------------------------------

int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void pause_for(double seconds) {
  timespec left{};
  left.tv_sec = static_cast<time_t>(seconds);
  left.tv_nsec = static_cast<long>((seconds - static_cast<double>(left.tv_sec)) * 1e9);
  while (::nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

namespace {

double measure_ns_per_tick() {
  std::vector<double> tries;
  for (int i = 0; i < 5; ++i) {
    const int64_t start_ns = now_ns();
    const uint64_t start = first_tick();
    while (now_ns() - start_ns < 4'000'000) {
    }
    const int64_t end_ns = now_ns();
    tries.push_back(static_cast<double>(end_ns - start_ns) /
                    static_cast<double>(last_tick() - start));
  }
  std::sort(tries.begin(), tries.end());
  return tries[tries.size() / 2];
}

Timer measure_timer() {
  Histogram empty;
  for (int i = 0; i < 200'000; ++i) {
    const uint64_t start = first_tick();
    empty.add(last_tick() - start);
  }
  const uint64_t step = std::max<uint64_t>(empty.step(), 1);
  return {empty.quantile(0.5, step), step};
}

}  // namespace

double ns_per_tick() {
  static const double value = measure_ns_per_tick();
  return value;
}

const Timer& timer() {
  static const Timer value = measure_timer();
  return value;
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::map<std::string, uint64_t> cpu_ns_by_thread(pid_t pid) {
  std::map<std::string, uint64_t> sums;
  std::error_code error;
  for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(pid) + "/task", error)) {
    std::string name;
    uint64_t ns = 0;
    std::getline(std::ifstream(task.path() / "comm"), name);
    std::ifstream(task.path() / "schedstat") >> ns;
    sums[name] += ns;
  }
  return sums;
}

uint64_t cpu_ns_of(pid_t pid) {
  uint64_t sum = 0;
  for (const auto& [name, ns] : cpu_ns_by_thread(pid)) sum += ns;
  return sum;
}

// --- processors --------------------------------------------------------------------------------

std::vector<int> allowed_cpus() {
  static const std::vector<int> cpus = [] {
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof set, &set) != 0) fail_errno("sched_getaffinity");
    std::vector<int> found;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) found.push_back(cpu);
    }
    return found;
  }();
  return cpus;
}

std::array<int, 2> two_cpus() {
  const auto core_of = [](int cpu) {
    std::string siblings;
    std::getline(std::ifstream("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                               "/topology/thread_siblings_list"),
                 siblings);
    return siblings.empty() ? std::to_string(cpu) : siblings;
  };
  const std::vector<int> cpus = allowed_cpus();
  for (const int other : cpus) {
    if (core_of(other) != core_of(cpus.front())) return {cpus.front(), other};
  }
  return {cpus.front(), cpus.back()};
}

void pin_to(const std::vector<int>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(cpu, &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) fail_errno("sched_setaffinity");
}

// --- processes ---------------------------------------------------------------------------------

Child::Child(const std::function<void()>& body) {
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) fail_errno("fork");
  if (pid_ > 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  try {
    body();
    ::_exit(0);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "child: %s\n", e.what());
  }
  ::_exit(1);
}

Child::~Child() { end(true); }

void Child::end(bool is_kill) {
  if (has_ended_) return;
  if (is_kill) ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
  }
  has_ended_ = true;
}

void Child::wait() {
  end(false);
  if (WIFSIGNALED(status_)) fail("a child died of signal " + std::to_string(WTERMSIG(status_)));
  if (WEXITSTATUS(status_) != 0) fail("a child failed");
}

bool Child::has_ended() {
  if (!has_ended_) has_ended_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return has_ended_;
}

void wait_for_all(const std::vector<Child*>& children, double seconds) {
  const int64_t deadline = now_ns() + static_cast<int64_t>(seconds * 1e9);
  std::vector<pollfd> ends;
  for (const Child* child : children) {
    const long fd = ::syscall(SYS_pidfd_open, child->pid(), 0);
    if (fd < 0) fail_errno("pidfd_open");
    ends.push_back({static_cast<int>(fd), POLLIN, 0});
  }
  size_t left = children.size();
  std::string why;
  while (left > 0 && why.empty()) {
    const int64_t left_ms = (deadline - now_ns()) / 1'000'000;
    if (left_ms <= 0) why = "a child did not end in time";
    ::poll(ends.data(), ends.size(), static_cast<int>(std::max<int64_t>(left_ms, 0)));
    for (size_t i = 0; i < ends.size(); ++i) {
      if (ends[i].fd < 0 || ends[i].revents == 0) continue;
      ::close(std::exchange(ends[i].fd, -1));
      --left;
      try {
        children[i]->wait();
      } catch (const std::exception& e) {
        why = e.what();
      }
    }
  }
  for (const pollfd& end : ends) {
    if (end.fd >= 0) ::close(end.fd);
  }
  if (!why.empty()) fail(why);
}

BusyMachine::BusyMachine() {
  for (const int cpu : allowed_cpus()) {
    burners_.push_back(std::make_unique<Child>([cpu] {
      pin_to({cpu});
      errno = 0;
      if (::nice(19) < 0 && errno != 0) fail_errno("nice");
      std::vector<double> numbers(4096, 1.0);
      for (;;) {
        for (double& number : numbers) number = number * 0.999 + 0.001;
        std::atomic_signal_fence(std::memory_order_seq_cst);
      }
    }));
  }
}

TempFolder::TempFolder(const std::string& parent) {
  path_ = parent + "/ringlog-bench-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) fail_errno("make a folder in " + parent);
}

TempFolder::~TempFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
}

int run_program(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&files, 0, 1);
  posix_spawn_file_actions_adddup2(&files, 0, 2);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, argv[0], &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return 127;
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool has_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream parts(path == nullptr ? "" : path);
  for (std::string part; std::getline(parts, part, ':');) {
    if (::access((part + "/" + name).c_str(), X_OK) == 0) return true;
  }
  return false;
}

}  // namespace ringlog::bench
