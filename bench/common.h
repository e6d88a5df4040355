#pragma once
// What the benchmark programs share: arguments, figures, time, and child processes.
//
// Programs of one thread unless a member says otherwise.  Whatever goes wrong throws
// std::runtime_error; run_main() turns that into a message and exit code 1.

#include <sys/mman.h>
#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <x86intrin.h>
#else
#include <time.h>
#endif

namespace ringlog::bench {

[[noreturn]] void fail(const std::string& what);
// With the text of errno.
[[noreturn]] void fail_errno(const std::string& what);

// --- arguments and results ---------------------------------------------------------------------

// `--name value` pairs.
class Arguments {
 public:
  Arguments(int argc, char** argv);
  std::string text(const std::string& name, const std::string& otherwise = "") const;
  double number(const std::string& name, double otherwise) const;
  // Seconds that one measurement may take: --seconds, or a fraction that only shows that it works.
  double seconds() const { return number("seconds", 0.02); }

 private:
  std::map<std::string, std::string> values_;
};

// Named numbers, with the unit at the end of the name, and remarks; printed as one flat JSON
// object.
class Figures {
 public:
  void set(const std::string& name, double value) { numbers_[name] = value; }
  void note(const std::string& name, const std::string& text) { texts_[name] = text; }
  bool has(const std::string& name) const { return numbers_.contains(name); }
  double get(const std::string& name) const { return numbers_.at(name); }
  // On standard output.
  void print() const;
  // To and from a file; load() adds to what is there.
  void save(const std::string& path) const;
  void load(const std::string& path);

 private:
  std::map<std::string, double> numbers_;
  std::map<std::string, std::string> texts_;
};

// Calls `body`, prints its figures; the exit code.
int run_main(int argc, char** argv, const std::function<void(const Arguments&, Figures&)>& body);

// How a number of rows is called in the name of a figure: 10m, 20k, 1234.
std::string count_name(uint64_t count);

// --- time --------------------------------------------------------------------------------------

int64_t now_ns();  // monotonic
// Sleeps; for pauses in which nothing is measured.
void pause_for(double seconds);

// One loop of a thread that waits for another core.
inline void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Ticks around one call: first_tick() before it and last_tick() behind it.  The fences keep the
// processor from moving the call's instructions out of, or its neighbours' into, the interval.
#if defined(__x86_64__)
inline uint64_t first_tick() {
  _mm_lfence();
  const uint64_t tick = __rdtsc();
  _mm_lfence();
  return tick;
}
inline uint64_t last_tick() {
  unsigned cpu;
  const uint64_t tick = __rdtscp(&cpu);
  _mm_lfence();
  return tick;
}
#else
inline uint64_t first_tick() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}
inline uint64_t last_tick() { return first_tick(); }
#endif

// Measured once per process.
double ns_per_tick();
// What last_tick() - first_tick() is around nothing: how much, and in which steps it is counted.
struct Timer {
  double empty_ticks;
  uint64_t step_ticks;
};
const Timer& timer();

// CPU time of this process so far.
double cpu_seconds();
// CPU time of another process, all its threads, in nanoseconds; 0 when it is gone.
uint64_t cpu_ns_of(pid_t pid);
// The same for each of its threads, summed by name.
std::map<std::string, uint64_t> cpu_ns_by_thread(pid_t pid);

// --- processors --------------------------------------------------------------------------------

// The processors this process may use when it starts.
std::vector<int> allowed_cpus();
// Two of them on different cores where there are such; twice the same one on a machine with one.
std::array<int, 2> two_cpus();
void pin_to(const std::vector<int>& cpus);

// --- processes ---------------------------------------------------------------------------------

// A forked process that runs `body` and ends.  It dies with its parent and is killed by the
// destructor.
class Child {
 public:
  explicit Child(const std::function<void()>& body);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  pid_t pid() const { return pid_; }
  // Waits for the end; throws when it was not a good one.
  void wait();
  // True when it has ended, well or not; wait() tells.
  bool has_ended();

 private:
  void end(bool is_kill);
  pid_t pid_ = -1;
  bool has_ended_ = false;
  int status_ = 0;
};

// Waits for all; throws as soon as one of them fails or `seconds` have passed.
void wait_for_all(const std::vector<Child*>& children, double seconds);

// A T in memory that children share; zeros at first.
template <typename T>
class Shared {
 public:
  Shared()
      : at_(::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)) {
    if (at_ == MAP_FAILED) fail_errno("mmap");
    new (at_) T();
  }
  ~Shared() { ::munmap(at_, sizeof(T)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  T& operator*() const { return *static_cast<T*>(at_); }
  T* operator->() const { return static_cast<T*>(at_); }

 private:
  void* at_;
};

// Keeps every processor busy with work of the lowest priority, as training would, while it lives.
class BusyMachine {
 public:
  BusyMachine();

 private:
  std::vector<std::unique_ptr<Child>> burners_;
};

// A folder of its own under `parent`, removed with all that is in it.
class TempFolder {
 public:
  explicit TempFolder(const std::string& parent);
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Runs a program and waits; its exit status, or 127 when it cannot be run.
int run_program(const std::vector<std::string>& words);
// Whether a program is in PATH.
bool has_program(const std::string& name);

}  // namespace ringlog::bench
