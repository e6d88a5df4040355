#pragma once
// A /proc and a /sys in a temporary folder, for the monitor's real code to read.
//
// One thread.

#include <filesystem>
#include <fstream>
#include <string>

#include "daemon/monitor/places.h"
#include "temp_dir.h"

namespace ringlog::test {

class FakeMachine {
 public:
  // Without NVIDIA's library.
  service::MonitorPlaces places() const {
    return {.proc = dir_.file("proc"), .sys = dir_.file("sys"), .nvml = ""};
  }
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = dir_.file(path);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
  }
  void remove(const std::string& path) { std::filesystem::remove_all(dir_.file(path)); }
  std::string file(const std::string& path) const { return dir_.file(path); }

  // Four processors, `busy` and `idle` ticks since boot.
  void set_cpu(int busy, int idle) {
    write("proc/stat", "cpu  " + std::to_string(busy) + " 0 0 " + std::to_string(idle) +
                           " 0 0 0 0 0 0\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\nintr 1 2 3\n");
  }
  void set_memory(int total_kb, int available_kb) {
    write("proc/meminfo",
          "MemTotal:       " + std::to_string(total_kb) +
              " kB\nMemFree:   1 kB\nMemAvailable:   " + std::to_string(available_kb) + " kB\n");
  }
  // A process of `threads` threads that started at tick `start`.
  void set_process(int pid, int parent, int ticks, int start, int rss_pages = 256, int threads = 2,
                   const std::string& name = "python") {
    const auto text = [](int number) { return std::to_string(number); };
    write("proc/" + text(pid) + "/stat", text(pid) + " (" + name + ") S " + text(parent) +
                                             " 1 1 0 -1 0 0 0 0 0 " + text(ticks) + " 0 0 0 20 0 " +
                                             text(threads) + " 0 " + text(start) + " 123456 " +
                                             text(rss_pages) + " 18446744073709551615 0 0\n");
  }
  void end_process(int pid) { remove("proc/" + std::to_string(pid)); }

 private:
  TempDir dir_;
};

}  // namespace ringlog::test
