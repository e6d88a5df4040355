// NVIDIA GPUs through the real loader and threads, over a library that fails as drivers do.

#include "daemon/monitor/nvml_gpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "fake_nvml.h"
#include "watchdog.h"

namespace ringlog::service {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr milliseconds kPatient{60'000};
constexpr double kGibibyte = 1024.0 * 1024 * 1024;

class NvmlGpusTest : public ::testing::Test {
 protected:
  ~NvmlGpusTest() override { release(); }

  void set(const std::function<void(test::FakeNvml&)>& change) {
    const std::lock_guard lock(fake_.mutex);
    change(fake_);
    fake_.changed.notify_all();
  }
  void fail(const std::string& call, int code) {
    set([&](auto& fake) { fake.errors[call] = code; });
  }
  void release() {
    set([](auto& fake) { fake.hangs.clear(); });
  }
  unsigned calls(const std::string& call) {
    const std::lock_guard lock(fake_.mutex);
    return fake_.calls[call];
  }
  // Until the library was called so often.
  void wait_for(const std::string& call, unsigned count) {
    std::unique_lock lock(fake_.mutex);
    fake_.changed.wait(lock, [&] { return fake_.calls[call] >= count; });
  }
  std::vector<GpuReading> read(bool is_slow = true) { return gpus_->read(kPatient, is_slow); }
  void start(const std::string& library = FAKE_NVML) { gpus_.emplace(library); }

  const test::Watchdog watchdog_;
  test::FakeNvml& fake_ = test::control_of(FAKE_NVML);
  std::optional<NvmlGpus> gpus_;
};

TEST_F(NvmlGpusTest, EveryValueOfTheDriverIsThere) {
  set([](auto& fake) { fake.processes = {{1, 4711}}; });
  start();
  auto gpus = read();
  ASSERT_EQ(gpus.size(), 2u);
  const GpuReading& gpu = gpus[1];
  EXPECT_EQ(gpu.uuid, "GPU-fake-0001");
  EXPECT_EQ(gpu.name, "Fake GPU 1");
  EXPECT_EQ(gpu[GpuMetric::kUtilization], 91);
  EXPECT_EQ(gpu[GpuMetric::kMemoryBytes], 16 * kGibibyte);
  EXPECT_EQ(gpu[GpuMetric::kMemoryPercent], 20);
  EXPECT_EQ(gpu[GpuMetric::kPower], 350);
  EXPECT_EQ(gpu[GpuMetric::kPowerPercent], 50);
  EXPECT_EQ(gpu[GpuMetric::kTemperature], 55);
  EXPECT_EQ(gpu[GpuMetric::kSmClock], 1001);
  EXPECT_EQ(gpu[GpuMetric::kMemoryClock], 1002);
  EXPECT_EQ(gpu[GpuMetric::kCorrectedErrors], 3);
  EXPECT_EQ(gpu[GpuMetric::kUncorrectedErrors], 1);
  EXPECT_EQ(gpu[GpuMetric::kThrottleThermal], 1);
  EXPECT_EQ(gpu[GpuMetric::kThrottlePower], 0);
  EXPECT_EQ(gpu[GpuMetric::kPcieLinkGen], 5);
  ASSERT_EQ(gpu.processes.size(), 1u);
  EXPECT_EQ(gpu.processes[0].pid, 4711);
  EXPECT_FALSE(gpu.has(GpuMetric::kFanSpeed)) << "the fake says it is not supported";
  EXPECT_EQ(gpus_->problem(), "");
}

TEST_F(NvmlGpusTest, ThroughputOfPcieIsInALaterAnswer) {
  start();
  read();
  wait_for("pcie", 4);  // two GPUs, both ways
  // The thread publishes after its last call; until then answers are without.
  std::vector<GpuReading> gpus;
  do {
    gpus = read(false);
  } while (!gpus[1].has(GpuMetric::kPcieRx));
  EXPECT_EQ(gpus[1][GpuMetric::kPcieTx], 100 * 1024);
  EXPECT_EQ(gpus[1][GpuMetric::kPcieRx], 200 * 1024);
}

TEST_F(NvmlGpusTest, AnOldDriverGivesWhatItHas) {
  test::FakeNvml& old = test::control_of(FAKE_NVML_OLD);
  old.count = 1;
  start(FAKE_NVML_OLD);
  const auto gpus = read();
  ASSERT_EQ(gpus.size(), 1u);
  EXPECT_EQ(gpus[0][GpuMetric::kMemoryBytes], 20 * kGibibyte) << "by the older function";
  EXPECT_EQ(gpus[0][GpuMetric::kThrottlePower], 1) << "by the older name";
  EXPECT_FALSE(gpus[0].has(GpuMetric::kEnergy));
  EXPECT_FALSE(gpus[0].has(GpuMetric::kPcieLinkGen));
}

TEST_F(NvmlGpusTest, WithoutALibraryThereAreNone) {
  start("/nonexistent/libnvidia-ml.so.1");
  EXPECT_TRUE(read().empty());
  EXPECT_TRUE(read().empty());
}

TEST_F(NvmlGpusTest, ALibraryOfAnotherKindIsNone) {
  start("libc.so.6");
  EXPECT_TRUE(read().empty());
}

TEST_F(NvmlGpusTest, ALibraryOfAnotherVersionThanTheDriverIsSaidAndNotAskedAgainAtOnce) {
  fail("init", 18);
  start();
  EXPECT_TRUE(read().empty());
  EXPECT_THAT(gpus_->problem(), HasSubstr("another version"));
  EXPECT_TRUE(read().empty());
  EXPECT_EQ(calls("init"), 1u);
  EXPECT_EQ(calls("count"), 0u);
}

TEST_F(NvmlGpusTest, EachCallThatIsNotSupportedCostsItsValueAndIsNotMadeAgain) {
  const std::vector<std::string> all = {"utilization", "power", "temperature", "clock",
                                        "reasons",     "ecc",   "energy",      "processes"};
  for (const std::string& call : all) {
    SCOPED_TRACE(call);
    test::control_of(FAKE_NVML);
    fail(call, 3);
    start();
    ASSERT_EQ(read().size(), 2u);
    const unsigned before = calls(call);
    const auto gpus = read();
    EXPECT_EQ(calls(call), before);
    EXPECT_EQ(gpus[0].has(GpuMetric::kUtilization), call != "utilization");
    EXPECT_EQ(gpus[0].has(GpuMetric::kPower), call != "power");
    EXPECT_TRUE(gpus[0].has(GpuMetric::kPowerLimit));
    gpus_.reset();
  }
}

TEST_F(NvmlGpusTest, AnUnknownErrorCostsTheValueThisTimeOnly) {
  fail("utilization", 999);
  start();
  EXPECT_FALSE(read()[0].has(GpuMetric::kUtilization));
  fail("utilization", 0);
  EXPECT_EQ(read()[0][GpuMetric::kUtilization], 90);
}

TEST_F(NvmlGpusTest, ALostGpuIsSilentAndTheOthersGoOn) {
  start();
  read();
  set([](auto& fake) { fake.device_errors[0] = 15; });
  auto gpus = read(false);
  ASSERT_EQ(gpus.size(), 2u) << "the other one keeps its number";
  EXPECT_FALSE(gpus[0].has(GpuMetric::kUtilization));
  EXPECT_EQ(gpus[1][GpuMetric::kUtilization], 91);
  EXPECT_THAT(gpus_->problem(), HasSubstr("GPU is lost"));
  const unsigned before = calls("utilization");
  read(false);
  EXPECT_EQ(calls("utilization"), before + 1) << "it is left alone until the next look";
  set([](auto& fake) { fake.device_errors.clear(); });
  EXPECT_EQ(read(true)[0][GpuMetric::kUtilization], 90) << "it came back";
  EXPECT_EQ(gpus_->problem(), "");
}

TEST_F(NvmlGpusTest, GpusComeAndGo) {
  start();
  EXPECT_EQ(read().size(), 2u);
  set([](auto& fake) { fake.count = 8; });
  EXPECT_EQ(read(false).size(), 2u) << "not looked for each time";
  EXPECT_EQ(read(true).size(), 8u);
  set([](auto& fake) { fake.count = 0; });
  EXPECT_TRUE(read(true).empty());
}

TEST_F(NvmlGpusTest, GarbageIsLeftOut) {
  start();
  set([](auto& fake) { fake.is_garbage = true; });
  const auto gpus = read();
  ASSERT_EQ(gpus.size(), 2u);
  for (size_t metric = 0; metric < kGpuMetrics; ++metric) {
    EXPECT_TRUE(std::isnan(gpus[0].values[metric])) << kGpuNames[metric];
  }
  EXPECT_TRUE(gpus[0].processes.empty());
  EXPECT_LE(gpus[0].uuid.size(), 96u);
  EXPECT_EQ(gpus[0].uuid.find('\xff'), std::string::npos);
}

TEST_F(NvmlGpusTest, MoreGpusThanThereCanBeAreNotBelieved) {
  set([](auto& fake) { fake.count = 4'000'000'000; });
  start();
  EXPECT_EQ(read().size(), kMonitorGpusMax);
}

TEST_F(NvmlGpusTest, ADriverThatIsUnloadedIsLeftAlone) {
  start();
  read();
  fail("utilization", 1);  // uninitialised
  EXPECT_EQ(read(false).size(), 2u);
  EXPECT_TRUE(read().empty());
  EXPECT_EQ(calls("init"), 1u) << "a minute has not passed";
  EXPECT_EQ(calls("shutdown"), 1u);
}

TEST_F(NvmlGpusTest, NobodyWaitsForADriverThatHangs) {
  start();
  read();
  set([](auto& fake) { fake.hangs.insert("utilization"); });
  EXPECT_TRUE(gpus_->read(milliseconds(1), false).empty());
  wait_for("utilization", 3);
  EXPECT_TRUE(gpus_->read(kPatient, false).empty()) << "without waiting at all";
  release();
  // It answers what it was asked before; then it is as good as ever.
  std::vector<GpuReading> gpus;
  while (gpus.empty()) gpus = read(false);
  EXPECT_EQ(gpus[0][GpuMetric::kUtilization], 90);
}

TEST_F(NvmlGpusTest, AHangingPcieCallCostsPcieOnly) {
  set([](auto& fake) { fake.hangs.insert("pcie"); });
  start();
  for (int i = 0; i < 3; ++i) {
    const auto gpus = read();
    ASSERT_EQ(gpus.size(), 2u);
    EXPECT_EQ(gpus[0][GpuMetric::kUtilization], 90);
    EXPECT_FALSE(gpus[0].has(GpuMetric::kPcieTx));
  }
  EXPECT_EQ(gpus_->pcie_rounds(), 0u);
  wait_for("pcie", 1);
  gpus_.reset();  // leaves the thread behind
  EXPECT_EQ(calls("shutdown"), 0u) << "not under the feet of a thread that is in the driver";
  release();
  wait_for("shutdown", 1);
}

TEST_F(NvmlGpusTest, TheEndClosesTheDriver) {
  start();
  read();
  gpus_.reset();
  EXPECT_EQ(calls("shutdown"), 1u);
}

}  // namespace
}  // namespace ringlog::service
