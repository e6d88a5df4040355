#pragma once
// The processes of a run: who they are, their children included, and what they use.
//
// The tree is found by looking through all of /proc, which costs about 10 µs a process, so it is
// done every kMonitorSlowMs only; what the found ones use is read with every sample.  A process
// counts from when it is first seen, or from its birth if that was after the last sample.
//
// One thread.

#include "daemon/monitor/places.h"
#include "daemon/monitor/text_file.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ringlog::service {

// A process that is attached to a run.
struct RunProcess {
  int32_t pid = 0;
  uint64_t pid_start = 0;  // clock ticks since boot
  int32_t rank = 0;
  int32_t local_rank = -1;
  bool operator==(const RunProcess&) const = default;
};

// A line of /proc/PID/stat.
struct ProcessReading {
  int32_t parent = 0;
  uint64_t ticks = 0;  // of processor time, without children
  uint64_t threads = 0;
  uint64_t start = 0;  // clock ticks since boot
  uint64_t rss_pages = 0;
};
std::optional<ProcessReading> parse_process(std::string_view text);

// Who is whose child, in the whole machine.
class ProcessTree {
 public:
  explicit ProcessTree(const MonitorPlaces& places) : places_(places) {}

  void scan();
  // Counts scans, from 1.
  uint64_t scans() const { return scans_; }
  const std::unordered_map<int32_t, int32_t>& parents() const { return parents_; }

 private:
  const MonitorPlaces places_;
  TextFile file_;
  uint64_t scans_ = 0;
  std::unordered_map<int32_t, int32_t> parents_;  // pid → its parent's
};

struct ProcessUse {
  double cpu_ticks = 0;  // since the last call of measure()
  uint64_t rss_pages = 0;
  uint64_t threads = 0;
  uint64_t processes = 0;
};

class RunProcesses {
 public:
  explicit RunProcesses(const MonitorPlaces& places) : places_(places) {}

  // What the attached processes and their descendants use, by rank.  `last_ticks`: the time of the
  // last call in clock ticks since boot; processes that are younger count whole.
  std::map<int32_t, ProcessUse> measure(const std::vector<RunProcess>& attached,
                                        const ProcessTree& tree, uint64_t last_ticks);
  // The rank that a process of the run works for.
  std::optional<int32_t> rank_of(int32_t pid) const;

 private:
  struct Member {
    int32_t rank = 0;
    uint64_t start = 0;  // 0: not read yet
    uint64_t ticks = 0;
  };
  void find_members(const std::vector<RunProcess>& attached, const ProcessTree& tree);
  bool measure_one(int32_t pid, Member& member, uint64_t last_ticks, ProcessUse& use);

  const MonitorPlaces places_;
  TextFile file_;
  std::vector<RunProcess> attached_;
  uint64_t scan_ = 0;                  // of the tree that members_ are of
  std::map<int32_t, Member> members_;  // by pid
};

}  // namespace ringlog::service
