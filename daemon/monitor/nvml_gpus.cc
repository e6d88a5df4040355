#include "daemon/monitor/nvml_gpus.h"

#include <algorithm>
#include <condition_variable>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "daemon/log.h"
#include "daemon/monitor/nvml_device.h"
#include "daemon/thread.h"

namespace ringlog::service {

namespace {

using NvmlTime = std::chrono::steady_clock;

// Between two tries to reach a driver that does not answer as it should.
constexpr std::chrono::seconds kNvmlRetry{60};
// Threads that do not hang have this long to end with their object.
constexpr std::chrono::milliseconds kNvmlEndWait{500};
// A PCIe measurement older than this is no longer shown.
constexpr std::chrono::milliseconds kPcieAge{3 * kMonitorSlowMs};

}  // namespace

// An initialised library and its devices.
struct NvmlSession {
  explicit NvmlSession(const NvmlApi& loaded) : api(loaded) {}
  ~NvmlSession() {
    if (api.shutdown != nullptr) api.shutdown();
  }
  NvmlSession(const NvmlSession&) = delete;
  NvmlSession& operator=(const NvmlSession&) = delete;

  const NvmlApi api;
  std::vector<std::shared_ptr<NvmlDevice>> devices;  // of the first thread; nullptr: no handle
};

struct NvmlGpus::State {
  // Constant once the threads run.
  NvmlApi api;

  std::mutex mutex;
  std::condition_variable asked;     // a question, or the end
  std::condition_variable answered;  // an answer, or a thread ended
  // Guarded by mutex.
  bool is_ended = false;
  int threads = 0;
  uint64_t questions = 0;  // asked
  uint64_t answers = 0;    // given; less: the driver is busy
  bool is_slow = false;    // of the question
  std::vector<GpuReading> readings;
  std::string problem;
  // For the PCIe thread: what to measure, how often it was asked to, and what it found.
  std::shared_ptr<NvmlSession> pcie_session;
  std::vector<std::shared_ptr<NvmlDevice>> pcie_devices;
  uint64_t pcie_questions = 0;
  uint64_t pcie_answers = 0;
  std::vector<PcieReading> pcie;
  NvmlTime::time_point pcie_time;

  // First thread.
  std::shared_ptr<NvmlSession> session;
  NvmlTime::time_point next_try;
  std::set<std::string> said;

  void say(const std::string& what);
  bool open_session();
  void find_devices();
  std::vector<GpuReading> read_devices();
  void close_session();
  void answer(bool is_slow_due);
  void add_pcie(std::vector<GpuReading>& into);
  void ask_pcie();
};

void NvmlGpus::State::say(const std::string& what) {
  {
    const std::lock_guard lock(mutex);
    problem = what;
  }
  if (!what.empty() && said.insert(what).second) log().warn("NVIDIA GPUs: {}", what);
}

bool NvmlGpus::State::open_session() {
  if (NvmlTime::now() < next_try) return false;
  next_try = NvmlTime::now() + kNvmlRetry;
  const nvml::Return code = api.init();
  if (code != nvml::kSuccess) {
    std::string what = "the driver cannot be used: " + api.text_of(code);
    if (code == nvml::kLibraryMismatch) {
      what += "; the library is of another version than the kernel's driver: reboot, or reload it";
    }
    say(what);
    return false;
  }
  session = std::make_shared<NvmlSession>(api);
  say("");
  return true;
}

void NvmlGpus::State::find_devices() {
  unsigned count = 0;
  const nvml::Return code = session->api.device_count(&count);
  if (code != nvml::kSuccess) {
    say("they cannot be counted: " + session->api.text_of(code));
    if (code == nvml::kUninitialized || code == nvml::kDriverNotLoaded) close_session();
    return;
  }
  say("");
  if (count > kMonitorGpusMax) {
    say("the driver says there are " + std::to_string(count) + ", looking at " +
        std::to_string(kMonitorGpusMax));
    count = kMonitorGpusMax;
  }
  if (count == session->devices.size() &&
      std::all_of(session->devices.begin(), session->devices.end(),
                  [](const auto& device) { return device != nullptr; })) {
    return;
  }
  session->devices.clear();
  for (unsigned index = 0; index < count; ++index) {
    nvml::Device device = nullptr;
    const nvml::Return found = session->api.device_by_index(index, &device);
    if (found != nvml::kSuccess) {
      say("GPU " + std::to_string(index) + ": " + session->api.text_of(found));
    }
    const bool is_there = found == nvml::kSuccess && device != nullptr;
    session->devices.push_back(is_there ? std::make_shared<NvmlDevice>(session->api, device)
                                        : nullptr);
  }
}

std::vector<GpuReading> NvmlGpus::State::read_devices() {
  std::vector<GpuReading> out;
  bool is_driver_gone = false;
  for (size_t index = 0; index < session->devices.size(); ++index) {
    auto& device = session->devices[index];
    GpuReading reading;
    if (device && !is_driver_gone) {
      if (const auto fatal = device->read(reading)) {
        say("GPU " + std::to_string(index) + ": " + session->api.text_of(*fatal));
        is_driver_gone = *fatal == nvml::kUninitialized || *fatal == nvml::kDriverNotLoaded;
        device.reset();  // until somebody looks which GPUs there are
      }
    }
    out.push_back(std::move(reading));
  }
  if (is_driver_gone) close_session();
  return out;
}

void NvmlGpus::State::close_session() {
  session.reset();
  next_try = NvmlTime::now() + kNvmlRetry;
  std::shared_ptr<NvmlSession> last;  // goes when nobody holds the mutex: it calls the driver
  const std::lock_guard lock(mutex);
  last.swap(pcie_session);
  pcie_devices.clear();
}

void NvmlGpus::State::ask_pcie() {
  const std::lock_guard lock(mutex);
  if (session->api.pcie_throughput == nullptr || pcie_questions != pcie_answers) return;
  pcie_session = session;
  pcie_devices = session->devices;
  ++pcie_questions;
  asked.notify_all();
}

void NvmlGpus::State::answer(bool is_slow_due) {
  std::vector<GpuReading> found;
  const bool is_new = !session && open_session();
  if (session) {
    if (is_new || is_slow_due) {
      find_devices();
      if (session) ask_pcie();
    }
    if (session) found = read_devices();
  }
  const std::lock_guard lock(mutex);
  readings = std::move(found);
}

// With the mutex held.
void NvmlGpus::State::add_pcie(std::vector<GpuReading>& into) {
  if (pcie.size() != into.size() || NvmlTime::now() - pcie_time > kPcieAge) return;
  for (size_t index = 0; index < into.size(); ++index) {
    into[index][GpuMetric::kPcieTx] = pcie[index].tx;
    into[index][GpuMetric::kPcieRx] = pcie[index].rx;
  }
}

namespace {

void end_thread(NvmlGpus::State& state) {
  const std::lock_guard lock(state.mutex);
  --state.threads;
  state.answered.notify_all();
}

void run_nvml(const std::shared_ptr<NvmlGpus::State>& state) {
  std::unique_lock lock(state->mutex);
  for (;;) {
    state->asked.wait(lock, [&] { return state->is_ended || state->questions != state->answers; });
    if (state->is_ended) break;
    const uint64_t question = state->questions;
    const bool is_slow = std::exchange(state->is_slow, false);
    lock.unlock();
    state->answer(is_slow);
    lock.lock();
    state->answers = question;
    state->answered.notify_all();
  }
  lock.unlock();
  state->session.reset();
  end_thread(*state);
}

void run_pcie(const std::shared_ptr<NvmlGpus::State>& state) {
  std::unique_lock lock(state->mutex);
  for (;;) {
    state->asked.wait(
        lock, [&] { return state->is_ended || state->pcie_questions != state->pcie_answers; });
    if (state->is_ended) break;
    // The session stays open as long as somebody is in it.
    auto session = state->pcie_session;
    const auto devices = state->pcie_devices;
    lock.unlock();
    std::vector<PcieReading> found;
    for (const auto& device : devices) {
      constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
      found.push_back(device ? device->read_pcie() : PcieReading{kUnknown, kUnknown});
    }
    session.reset();  // maybe the last one, so not with the mutex held
    lock.lock();
    state->pcie = std::move(found);
    state->pcie_time = NvmlTime::now();
    state->pcie_answers = state->pcie_questions;
    state->answered.notify_all();
  }
  auto last = std::move(state->pcie_session);
  state->pcie_devices.clear();
  lock.unlock();
  last.reset();
  end_thread(*state);
}

}  // namespace

NvmlGpus::NvmlGpus(const std::string& library) : state_(std::make_shared<State>()) {
  if (library.empty()) return;
  auto api = NvmlApi::load(library);
  if (!api) {
    log().info("no NVIDIA GPUs: {}", api.error().message);
    return;
  }
  state_->api = *api;
  const auto start = [state = state_](const char* name, auto* body) {
    {
      const std::lock_guard lock(state->mutex);
      ++state->threads;
    }
    auto thread = start_thread(name, [state, body] { body(state); });
    if (thread) {
      thread->detach();  // see the header
    } else {
      log().warn("NVIDIA GPUs are looked at in part or not at all: {}", thread.error().message);
      end_thread(*state);
    }
    return static_cast<bool>(thread);
  };
  if (start("gpus", run_nvml)) start("gpu-pcie", run_pcie);
}

NvmlGpus::~NvmlGpus() {
  std::unique_lock lock(state_->mutex);
  state_->is_ended = true;
  state_->asked.notify_all();
  state_->answered.wait_for(lock, kNvmlEndWait, [this] { return state_->threads == 0; });
}

std::vector<GpuReading> NvmlGpus::read(std::chrono::milliseconds patience, bool is_slow) {
  std::unique_lock lock(state_->mutex);
  if (state_->threads == 0) return {};
  state_->is_slow |= is_slow;
  // Busy with an older question: this one comes when the driver is back.
  if (state_->questions != state_->answers) return {};
  const uint64_t question = ++state_->questions;
  state_->asked.notify_all();
  state_->answered.wait_for(lock, patience, [&] { return state_->answers >= question; });
  if (state_->answers < question) return {};
  std::vector<GpuReading> readings = state_->readings;
  state_->add_pcie(readings);
  return readings;
}

std::string NvmlGpus::problem() const {
  const std::lock_guard lock(state_->mutex);
  return state_->problem;
}

uint64_t NvmlGpus::pcie_rounds() const {
  const std::lock_guard lock(state_->mutex);
  return state_->pcie_answers;
}

}  // namespace ringlog::service
