// A libnvidia-ml.so.1 for tests: GPUs that are as well or as ill as a test wants them.
//
// How many there are, what each call answers and what it says come from fake_nvml.h's control
// block, which a test finds in the library with dlsym; FAKE_NVML_COUNT sets the number for a
// program that merely finds the library in its path.  With FAKE_NVML_OLD the library is one of an
// old driver: functions that came later are missing.

#include "fake_nvml.h"

#include <cstdlib>
#include <cstring>
#include <mutex>

namespace {

using ringlog::test::FakeNvml;
using Device = struct FakeDevice*;

unsigned count_of_environment() {
  const char* const text = std::getenv("FAKE_NVML_COUNT");
  return text == nullptr ? 0 : static_cast<unsigned>(std::atoi(text));
}

FakeNvml& control() {
  static FakeNvml fake{.count = count_of_environment()};
  return fake;
}

Device handle(unsigned index) { return reinterpret_cast<Device>(uintptr_t{0x1000} + index * 16); }
unsigned index_of(Device device) {
  return static_cast<unsigned>((reinterpret_cast<uintptr_t>(device) - 0x1000) / 16);
}

// What a call answers; blocks while the test wants it to.
int answer(const char* call, Device device = nullptr) {
  FakeNvml& fake = control();
  std::unique_lock lock(fake.mutex);
  ++fake.calls[call];
  fake.changed.notify_all();
  fake.changed.wait(lock, [&] { return !fake.hangs.contains(call); });
  if (device != nullptr) {
    const auto lost = fake.device_errors.find(index_of(device));
    if (lost != fake.device_errors.end()) return lost->second;
  }
  const auto found = fake.errors.find(call);
  return found == fake.errors.end() ? 0 : found->second;
}

template <typename Number>
int number(const char* call, Device device, Number* out, Number value) {
  const int code = answer(call, device);
  if (code != 0) return code;
  const std::lock_guard lock(control().mutex);
  *out = control().is_garbage ? static_cast<Number>(~Number{0}) : value;
  return 0;
}

int text(const char* call, Device device, char* out, unsigned size, const char* prefix) {
  const int code = answer(call, device);
  if (code != 0) return code;
  if (control().is_garbage) {
    std::memset(out, 0xff, size);  // and no zero at its end
    return 0;
  }
  std::strncpy(out, prefix, size - 1);
  const size_t end = std::strlen(prefix);
  out[end] = static_cast<char>('0' + index_of(device));
  out[end + 1] = '\0';
  return 0;
}

struct Utilization {
  unsigned gpu, memory;
};
struct Memory {
  unsigned long long total, free, used;
};
struct MemoryV2 {
  unsigned version;
  unsigned long long total, reserved, free, used;
};
struct ProcessInfo {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
};
constexpr unsigned long long kGibibyte = 1ULL << 30;

}  // namespace

#define FAKE extern "C" __attribute__((visibility("default")))

FAKE FakeNvml* fake_nvml() { return &control(); }

FAKE int nvmlInit_v2() { return answer("init"); }
FAKE int nvmlShutdown() { return answer("shutdown"); }
FAKE const char* nvmlErrorString(int code) {
  return code == 15 ? "GPU is lost" : code == 18 ? "Driver/library version mismatch" : "some error";
}
FAKE int nvmlDeviceGetCount_v2(unsigned* count) {
  const int code = answer("count");
  if (code == 0) *count = control().count;
  return code;
}
FAKE int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device* device) {
  const int code = answer("handle");
  if (code == 0) *device = handle(index);
  return code;
}
FAKE int nvmlDeviceGetUUID(Device device, char* out, unsigned size) {
  return text("uuid", device, out, size, "GPU-fake-000");
}
FAKE int nvmlDeviceGetName(Device device, char* out, unsigned size) {
  return text("name", device, out, size, "Fake GPU ");
}
FAKE int nvmlDeviceGetUtilizationRates(Device device, Utilization* out) {
  unsigned gpu = 0;
  const int code = number("utilization", device, &gpu, 90 + index_of(device));
  if (code == 0) *out = {gpu, gpu};
  return code;
}
FAKE int nvmlDeviceGetMemoryInfo(Device device, Memory* out) {
  unsigned long long used = 0;
  const int code = number("memory", device, &used, 20 * kGibibyte);
  if (code == 0) *out = {80 * kGibibyte, 60 * kGibibyte, used};
  return code;
}
FAKE int nvmlDeviceGetPowerUsage(Device device, unsigned* out) {
  return number("power", device, out, 350'000U);
}
FAKE int nvmlDeviceGetEnforcedPowerLimit(Device device, unsigned* out) {
  return number("power_limit", device, out, 700'000U);
}
FAKE int nvmlDeviceGetTemperature(Device device, int, unsigned* out) {
  return number("temperature", device, out, 55U);
}
FAKE int nvmlDeviceGetClockInfo(Device device, int clock, unsigned* out) {
  return number("clock", device, out, 1000U + static_cast<unsigned>(clock));
}
FAKE int nvmlDeviceGetTotalEccErrors(Device device, int kind, int, unsigned long long* out) {
  return number("ecc", device, out, kind == 0 ? 3ULL : 1ULL);
}
FAKE int nvmlDeviceGetFanSpeed(Device, unsigned*) { return 3; }  // a server's GPU has none

#ifdef FAKE_NVML_OLD
FAKE int nvmlDeviceGetCurrentClocksThrottleReasons(Device device, unsigned long long* out) {
  return number("reasons", device, out, 0x4ULL);
}
#else
FAKE int nvmlDeviceGetMemoryInfo_v2(Device device, MemoryV2* out) {
  unsigned long long used = 0;
  const int code = number("memory_v2", device, &used, 16 * kGibibyte);
  if (code == 0) {
    *out = {out->version, 80 * kGibibyte, 4 * kGibibyte, 60 * kGibibyte, used};
  }
  return code;
}
FAKE int nvmlDeviceGetTotalEnergyConsumption(Device device, unsigned long long* out) {
  FakeNvml& fake = control();
  unsigned long long millijoules = 0;
  {
    const std::lock_guard lock(fake.mutex);
    millijoules = fake.millijoules += 350'000;
  }
  return number("energy", device, out, millijoules);
}
FAKE int nvmlDeviceGetCurrentClocksEventReasons(Device device, unsigned long long* out) {
  return number("reasons", device, out, 0x40ULL);
}
FAKE int nvmlDeviceGetCurrPcieLinkGeneration(Device device, unsigned* out) {
  return number("link_gen", device, out, 5U);
}
FAKE int nvmlDeviceGetCurrPcieLinkWidth(Device device, unsigned* out) {
  return number("link_width", device, out, 16U);
}
FAKE int nvmlDeviceGetPcieThroughput(Device device, int counter, unsigned* out) {
  return number("pcie", device, out, counter == 0 ? 100U : 200U);
}
FAKE int nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned* count, ProcessInfo* out) {
  const int code = answer("processes", device);
  if (code != 0) return code;
  FakeNvml& fake = control();
  const std::lock_guard lock(fake.mutex);
  unsigned found = 0;
  for (const auto& [index, pid] : fake.processes) {
    if (index == index_of(device) && found < *count) out[found++] = {pid, 10 * kGibibyte, 0, 0};
  }
  *count = fake.is_garbage ? ~0U : found;
  return 0;
}
#endif
