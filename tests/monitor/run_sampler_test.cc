// What a run's samples say, over a fake /proc and /sys.

#include "daemon/monitor/run_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <optional>

#include "daemon/monitor/sampler.h"
#include "fake_machine.h"

namespace ringlog::service {
namespace {

using ::testing::ElementsAre;
using Values = std::map<std::string, double>;

constexpr int64_t kSecond = 1'000'000'000;

class RunSamplerTest : public ::testing::Test {
 protected:
  RunSamplerTest() {
    machine_.set_cpu(1000, 9000);
    machine_.set_memory(1'000'000, 600'000);
    machine_.set_process(100, 1, 500, 7);
    attached_ = {{.pid = 100, .pid_start = 7, .rank = 0, .local_rank = 0}};
  }

  // The sample `seconds` after the last one; empty values: there was none.
  Values take(int64_t seconds = 1) {
    if (!sampler_) sampler_.emplace(machine_.places());
    if (!run_) run_.emplace(machine_.places(), machine_.file(""));
    now_ns_ += seconds * kSecond;
    sample_ = run_->take(sampler_->look(now_ns_), attached_);
    Values values;
    for (size_t i = 0; i < sample_.names.size(); ++i) values[sample_.names[i]] = sample_.values[i];
    EXPECT_EQ(values.size(), sample_.names.size()) << "a name stands twice";
    return values;
  }
  static bool has_prefix(const Values& values, const std::string& prefix) {
    const auto at = values.lower_bound(prefix);
    return at != values.end() && at->first.starts_with(prefix);
  }

  test::FakeMachine machine_;
  std::vector<RunProcess> attached_;
  std::optional<Sampler> sampler_;
  std::optional<RunSampler> run_;
  RunSample sample_;
  int64_t now_ns_ = 1000 * kSecond;
  const double ticks_ = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const double page_mb_ = static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1024 / 1024;
};

TEST_F(RunSamplerTest, TheFirstLookHasNothingToCompareWith) { EXPECT_TRUE(take().empty()); }

TEST_F(RunSamplerTest, ProcessorIsOfTheIntervalAndOfAllCores) {
  take();
  machine_.set_process(100, 1, 500 + static_cast<int>(2 * ticks_), 7);
  machine_.set_cpu(1300, 9700);
  const Values values = take(2);
  EXPECT_DOUBLE_EQ(values.at("cpu"), 25) << "one of four cores";
  EXPECT_DOUBLE_EQ(values.at("proc.rank.0.cpu"), 100) << "of one core";
  EXPECT_DOUBLE_EQ(values.at("machine.cpu"), 30);
}

TEST_F(RunSamplerTest, MemoryIsOfTheMachineAndOfTheRun) {
  take();
  const Values values = take();
  EXPECT_DOUBLE_EQ(values.at("memory_percent"), 40);
  EXPECT_DOUBLE_EQ(values.at("proc.memory.availableMB"), 600'000.0 / 1024);
  EXPECT_DOUBLE_EQ(values.at("proc.memory.rssMB"), 256 * page_mb_);
  EXPECT_DOUBLE_EQ(values.at("proc.memory.percent"), 100 * 256 * page_mb_ * 1024 / 1'000'000);
  EXPECT_EQ(values.at("proc.cpu.threads"), 2);
  EXPECT_EQ(values.at("proc.count"), 1);
}

TEST_F(RunSamplerTest, ChildrenBelongToTheirRank) {
  attached_.push_back({.pid = 200, .pid_start = 9, .rank = 3, .local_rank = 1});
  machine_.set_process(200, 1, 0, 9);
  machine_.set_process(201, 200, 0, 10, 1000, 5, "evil) R 1 (name");
  machine_.set_process(202, 201, 0, 11);
  machine_.set_process(300, 1, 0, 12);  // somebody else's
  take();
  machine_.set_process(202, 201, static_cast<int>(ticks_), 11);
  const Values values = take();
  EXPECT_EQ(values.at("proc.count"), 4);
  EXPECT_DOUBLE_EQ(values.at("proc.rank.3.cpu"), 100);
  EXPECT_EQ(values.at("proc.rank.3.cpu.threads"), 9);
  EXPECT_DOUBLE_EQ(values.at("proc.rank.3.memory.rssMB"), (256 + 1000 + 256) * page_mb_);
  EXPECT_DOUBLE_EQ(values.at("proc.rank.0.cpu"), 0);
}

TEST_F(RunSamplerTest, AChildThatIsFoundLateCountsFromThen) {
  take();
  const int born_long_ago = 12;
  machine_.set_process(101, 100, 100'000, born_long_ago);
  const Values values = take(11);  // the tree is looked at again
  EXPECT_EQ(values.at("proc.count"), 2);
  EXPECT_DOUBLE_EQ(values.at("cpu"), 0);
}

TEST_F(RunSamplerTest, AChildThatWasBornSinceCountsWhole) {
  take();
  const int born = static_cast<int>(static_cast<double>(now_ns_) / kSecond * ticks_) + 10;
  machine_.set_process(101, 100, static_cast<int>(10 * ticks_), born);
  EXPECT_DOUBLE_EQ(take(10).at("proc.rank.0.cpu"), 100);
}

TEST_F(RunSamplerTest, AProcessThatEndsTakesNothingBack) {
  machine_.set_process(101, 100, 5000, 8);
  take();
  machine_.end_process(101);
  const Values values = take();
  EXPECT_EQ(values.at("proc.count"), 1);
  EXPECT_DOUBLE_EQ(values.at("cpu"), 0);
}

TEST_F(RunSamplerTest, APidThatWasGivenToAnotherProcessIsNotTheRuns) {
  machine_.set_process(100, 1, 500, 8);  // it started at another time than who attached
  take();
  EXPECT_EQ(take().at("proc.count"), 1);
  machine_.set_process(100, 1, 500, 9);
  EXPECT_FALSE(has_prefix(take(), "proc.count"));
}

TEST_F(RunSamplerTest, DisksAndNetworkCountFromTheBeginningOfTheRun) {
  machine_.write("sys/block/nvme0n1/size", "1");
  machine_.write("sys/block/loop0/size", "1");
  const auto set = [&](int sectors, int bytes) {
    machine_.write("proc/diskstats",
                   "   7 0 loop0 9 9 9999 9 9 9 9999 9 9 9 9\n 259 0 nvme0n1 1 0 " +
                       std::to_string(sectors) + " 1 1 0 " + std::to_string(2 * sectors) +
                       " 1 0 1 1\n 259 1 nvme0n1p1 1 0 4096 1 1 0 4096 1 0 1 1\n");
    machine_.write("proc/net/dev",
                   "Inter-|   Receive |  Transmit\n face |bytes packets\n"
                   "    lo: 777 1 0 0 0 0 0 0 777 1 0 0 0 0 0 0\n  eth0:" +
                       std::to_string(bytes) + " 1 0 0 0 0 0 0 " + std::to_string(3 * bytes) +
                       " 1 0 0 0 0 0 0\n");
  };
  set(1'000'000, 5000);
  take();
  set(1'000'000 + 4096, 5100);
  take();
  set(1'000'000 + 8192, 5200);
  const Values values = take();
  EXPECT_DOUBLE_EQ(values.at("disk.nvme0n1.in"), 4);
  EXPECT_DOUBLE_EQ(values.at("disk.nvme0n1.out"), 8);
  EXPECT_FALSE(has_prefix(values, "disk.loop0"));
  EXPECT_FALSE(has_prefix(values, "disk.nvme0n1p1"));
  EXPECT_DOUBLE_EQ(values.at("network.recv"), 200);
  EXPECT_DOUBLE_EQ(values.at("network.sent"), 600);
}

TEST_F(RunSamplerTest, PressureIsThePartOfTheTimeThatWasLost) {
  const auto set = [&](int total) {
    machine_.write("proc/pressure/io",
                   "some avg10=0.00 avg60=0.00 avg300=0.00 total=" + std::to_string(total) +
                       "\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
  };
  set(0);
  take();
  set(500'000);
  const Values values = take();
  EXPECT_DOUBLE_EQ(values.at("pressure.io.some"), 50);
  EXPECT_DOUBLE_EQ(values.at("pressure.io.full"), 0);
  EXPECT_FALSE(has_prefix(values, "pressure.cpu")) << "the kernel has no such file";
}

TEST_F(RunSamplerTest, TheRunsFileSystemIsWatched) {
  take();
  bool has_usage = false;
  for (const auto& [name, value] : take()) {
    if (!name.starts_with("disk./") || !name.ends_with(".usagePercent")) continue;
    has_usage = true;
    EXPECT_GE(value, 0);
    EXPECT_LE(value, 100);
  }
  EXPECT_TRUE(has_usage);
}

TEST_F(RunSamplerTest, ALimitOfCgroup2AppliesWhereverItStands) {
  machine_.write("proc/100/cgroup", "0::/job.slice/task\n");
  machine_.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
  machine_.write("sys/fs/cgroup/job.slice/task/cpu.max", "max 100000\n");
  machine_.write("sys/fs/cgroup/job.slice/task/memory.max", "max\n");
  machine_.write("sys/fs/cgroup/job.slice/cpu.max", "200000 100000\n");
  machine_.write("sys/fs/cgroup/job.slice/cpu.stat", "usage_usec 1\nthrottled_usec 1000000\n");
  machine_.write("sys/fs/cgroup/job.slice/memory.max", "104857600\n");
  machine_.write("sys/fs/cgroup/job.slice/memory.current", "62914560\n");
  machine_.write("sys/fs/cgroup/job.slice/memory.stat", "anon 1\ninactive_file 10485760\n");
  machine_.write("sys/fs/cgroup/job.slice/memory.events", "max 0\noom 4\noom_kill 2\n");
  take();
  machine_.set_process(100, 1, 500 + static_cast<int>(ticks_), 7);
  machine_.write("sys/fs/cgroup/job.slice/cpu.stat", "usage_usec 1\nthrottled_usec 1500000\n");
  const Values values = take();
  EXPECT_DOUBLE_EQ(values.at("cgroup.cpu.limitCores"), 2);
  EXPECT_DOUBLE_EQ(values.at("cpu"), 50) << "of the cores that it may use";
  EXPECT_DOUBLE_EQ(values.at("cgroup.cpu.throttledSeconds"), 0.5);
  EXPECT_DOUBLE_EQ(values.at("cgroup.memory.limitMB"), 100);
  EXPECT_DOUBLE_EQ(values.at("cgroup.memory.usedMB"), 50);
  EXPECT_DOUBLE_EQ(values.at("memory_percent"), 50);
  EXPECT_DOUBLE_EQ(values.at("proc.memory.availableMB"), 50);
  EXPECT_EQ(values.at("cgroup.memory.oomKills"), 2);
}

TEST_F(RunSamplerTest, AContainersOwnRootHoldsItsLimits) {
  machine_.write("proc/100/cgroup", "0::/../../elsewhere\n");
  machine_.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
  machine_.write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  take();
  EXPECT_DOUBLE_EQ(take().at("cgroup.cpu.limitCores"), 0.5);
}

TEST_F(RunSamplerTest, ALimitOfCgroup1Applies) {
  machine_.write("proc/100/cgroup",
                 "5:cpu,cpuacct:/job\n4:memory:/job\n1:name=systemd:/x\n0::/x\n");
  machine_.write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "300000\n");
  machine_.write("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  machine_.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  machine_.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  machine_.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "104857600\n");
  machine_.write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "52428800\n");
  machine_.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  take();
  const Values values = take();
  EXPECT_DOUBLE_EQ(values.at("cgroup.cpu.limitCores"), 3);
  EXPECT_DOUBLE_EQ(values.at("cgroup.memory.limitMB"), 100);
  EXPECT_DOUBLE_EQ(values.at("memory_percent"), 50);
}

TEST_F(RunSamplerTest, WithoutLimitsThereIsNothingOfThem) {
  machine_.write("proc/100/cgroup", "0::/\n");
  machine_.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
  take();
  EXPECT_FALSE(has_prefix(take(), "cgroup."));
}

TEST_F(RunSamplerTest, AMachineThatTellsNothingHasFewerNames) {
  for (const char* file : {"proc/stat", "proc/meminfo", "proc/100"}) machine_.remove(file);
  take();
  for (const auto& [name, value] : take()) EXPECT_TRUE(name.starts_with("disk./")) << name;
}

TEST_F(RunSamplerTest, FilesThatMakeNoSenseAreLeftOut) {
  const std::string garbage = std::string(5000, '\xff') + "\n(((((\n9999999999999999999999999\n";
  for (const char* file : {"proc/stat", "proc/meminfo", "proc/100/stat", "proc/diskstats",
                           "proc/net/dev", "proc/pressure/cpu", "proc/100/cgroup"}) {
    machine_.write(file, garbage);
  }
  take();
  for (const auto& [name, value] : take()) EXPECT_TRUE(name.starts_with("disk./")) << name;
}

// --- GPUs ----------------------------------------------------------------------------------------

void add_amd_card(test::FakeMachine& machine, int number, const std::string& busy) {
  const std::string dir = "sys/class/drm/card" + std::to_string(number) + "/device/";
  machine.write(dir + "vendor", "0x1002\n");
  machine.write(dir + "gpu_busy_percent", busy + "\n");
  machine.write(dir + "mem_info_vram_total", "68702699520\n");
  machine.write(dir + "mem_info_vram_used", "34351349760\n");
  machine.write(dir + "unique_id", "abc" + std::to_string(number) + "\n");
  machine.write(dir + "product_name", "Instinct\n");
  machine.write(dir + "hwmon/hwmon4/power1_average", "250000000\n");
  machine.write(dir + "hwmon/hwmon4/power1_cap", "500000000\n");
  machine.write(dir + "hwmon/hwmon4/temp1_input", "48000\n");
  machine.write(dir + "hwmon/hwmon4/freq1_input", "1700000000\n");
}

TEST_F(RunSamplerTest, AmdCardsAreReadFromSysfs) {
  add_amd_card(machine_, 9, "30");
  add_amd_card(machine_, 10, "95");
  machine_.write("sys/class/drm/card2/device/vendor", "0x8086\n");
  machine_.write("sys/class/drm/card9-DP-1/status", "connected\n");
  take();
  const Values values = take();
  EXPECT_EQ(values.at("gpu.0.gpu"), 30);
  EXPECT_EQ(values.at("gpu.1.gpu"), 95) << "card10 comes behind card9";
  EXPECT_EQ(values.at("gpu.1.memoryAllocated"), 50);
  EXPECT_EQ(values.at("gpu.1.powerWatts"), 250);
  EXPECT_EQ(values.at("gpu.1.powerPercent"), 50);
  EXPECT_EQ(values.at("gpu.1.temp"), 48);
  EXPECT_EQ(values.at("gpu.1.smClock"), 1700);
  EXPECT_FALSE(has_prefix(values, "gpu.2"));
  ASSERT_EQ(sample_.gpus.size(), 2u);
  EXPECT_EQ(sample_.gpus[1].uuid, "GPU-abc10");
  EXPECT_EQ(sample_.gpus[1].name, "Instinct");
}

TEST_F(RunSamplerTest, ACardThatSleepsIsNotWoken) {
  add_amd_card(machine_, 0, "30");
  machine_.write("sys/class/drm/card0/device/power/runtime_status", "suspended\n");
  take();
  EXPECT_FALSE(has_prefix(take(), "gpu.0"));
}

TEST_F(RunSamplerTest, WhatACardCannotBeIsLeftOut) {
  add_amd_card(machine_, 0, "4000");
  machine_.write("sys/class/drm/card0/device/mem_info_vram_used", "99999999999999999\n");
  take();
  const Values values = take();
  EXPECT_FALSE(has_prefix(values, "gpu.0.gpu"));
  EXPECT_FALSE(has_prefix(values, "gpu.0.memoryAllocated"));
  EXPECT_EQ(values.at("gpu.0.temp"), 48);
}

class RanksOfGpusTest : public RunSamplerTest {
 protected:
  RanksOfGpusTest() {
    add_amd_card(machine_, 0, "1");
    add_amd_card(machine_, 1, "1");
    machine_.set_process(200, 1, 0, 9);
    attached_.push_back({.pid = 200, .pid_start = 9, .rank = 1, .local_rank = 1});
  }
  std::vector<std::vector<int32_t>> ranks() {
    take();
    take();
    std::vector<std::vector<int32_t>> out;
    for (const store::StatsGpu& gpu : sample_.gpus) out.push_back(gpu.ranks);
    return out;
  }
  void see(int pid, const std::string& list) {
    machine_.write("proc/" + std::to_string(pid) + "/environ", "PATH=/bin" + std::string(1, '\0') +
                                                                   "CUDA_VISIBLE_DEVICES=" + list +
                                                                   std::string(1, '\0') + "A=b");
  }
};

TEST_F(RanksOfGpusTest, AUuidNamesTheGpuOfARank) {
  see(100, "GPU-abc1");
  see(200, "GPU-abc0");
  EXPECT_THAT(ranks(), ElementsAre(ElementsAre(1), ElementsAre(0)));
}

TEST_F(RanksOfGpusTest, TheLocalRankChoosesAmongSeveral) {
  see(100, "1,0");
  see(200, "1,0");
  EXPECT_THAT(ranks(), ElementsAre(ElementsAre(1), ElementsAre(0)));
}

TEST_F(RanksOfGpusTest, WithoutTheVariableTheLocalRankIsTheIndex) {
  machine_.write("proc/100/environ", "A=b");
  machine_.write("proc/200/environ", "A=b");
  EXPECT_THAT(ranks(), ElementsAre(ElementsAre(0), ElementsAre(1)));
}

TEST_F(RanksOfGpusTest, WhatNamesNoGpuGivesNone) {
  see(100, "");
  see(200, "MIG-1,GPU-zzz,77");
  EXPECT_THAT(ranks(), ElementsAre(ElementsAre(), ElementsAre()));
}

}  // namespace
}  // namespace ringlog::service
