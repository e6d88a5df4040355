#include "bench/machine.h"

#include <sys/utsname.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <string>

namespace ringlog::bench {

namespace {

struct PingPong {
  alignas(128) std::atomic<uint64_t> ping;
  alignas(128) std::atomic<uint64_t> pong;
  alignas(128) double median_ns;
};
constexpr uint64_t kStop = ~uint64_t{0};

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace

double realtime_clock_ns() {
  constexpr int kCalls = 20'000;
  timespec now{};
  const uint64_t start = first_tick();
  for (int i = 0; i < kCalls; ++i) ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(last_tick() - start) * ns_per_tick() / kCalls;
}

double cacheline_rtt_ns() {
  constexpr int kRuns = 21;
  constexpr uint64_t kTrips = 2000;
  const Shared<PingPong> words;
  Child other([&] {
    pin_to({two_cpus()[1]});
    for (uint64_t last = 0; last != kStop;) {
      const uint64_t seen = words->ping.load(std::memory_order_acquire);
      if (seen != last) words->pong.store(last = seen, std::memory_order_release);
    }
  });
  Child self([&] {
    pin_to({two_cpus()[0]});
    std::vector<double> runs;
    uint64_t trip = 0;
    for (int run = 0; run < kRuns; ++run) {
      const int64_t start = now_ns();
      for (uint64_t i = 0; i < kTrips; ++i) {
        words->ping.store(++trip, std::memory_order_release);
        while (words->pong.load(std::memory_order_acquire) != trip) {
        }
      }
      runs.push_back(static_cast<double>(now_ns() - start) / kTrips);
    }
    std::sort(runs.begin(), runs.end());
    words->median_ns = runs[kRuns / 2];
    words->ping.store(kStop, std::memory_order_release);
  });
  wait_for_all({&self, &other}, 60);
  return words->median_ns;
}

void add_machine_figures(Figures& figures) {
  utsname system{};
  ::uname(&system);
  figures.note("machine.kernel", std::string(system.sysname) + " " + system.release);
  figures.note("machine.cpu", cpu_model());
  figures.set("machine.cpus", static_cast<double>(allowed_cpus().size()));
  figures.set("machine.cacheline_rtt_ns", cacheline_rtt_ns());
  figures.set("machine.timer_ns", timer().empty_ticks * ns_per_tick());
  figures.set("machine.timer_step_ns", static_cast<double>(timer().step_ticks) * ns_per_tick());
  figures.set("machine.clock_realtime_ns", realtime_clock_ns());
}

}  // namespace ringlog::bench
