#pragma once
// What a test tells the fake NVML library (fake_nvml.cc), through a block that both sides see.
//
// Guarded by its mutex; whoever changes it notifies `changed`.

#include <dlfcn.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ringlog::test {

struct FakeNvml {
  unsigned count = 0;  // of GPUs
  std::mutex mutex{};
  std::condition_variable changed{};
  std::map<std::string, int> errors{};                     // call → what it returns
  std::map<unsigned, int> device_errors{};                 // GPU → what all its calls return
  std::set<std::string> hangs{};                           // calls that do not return
  std::map<std::string, unsigned> calls{};                 // how often each was called
  std::vector<std::pair<unsigned, unsigned>> processes{};  // GPU, pid
  unsigned long long millijoules = 0;
  bool is_garbage = false;  // numbers are all ones, texts have no end
};

// The control block of the library at `path`, as it was when nobody had asked anything.
inline FakeNvml& control_of(const std::string& path) {
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(::dlerror());
  const auto find = reinterpret_cast<FakeNvml* (*)()>(::dlsym(library, "fake_nvml"));
  FakeNvml& fake = *find();
  const std::lock_guard lock(fake.mutex);
  fake.count = 2;
  fake.errors.clear();
  fake.device_errors.clear();
  fake.hangs.clear();
  fake.calls.clear();
  fake.processes.clear();
  fake.is_garbage = false;
  return fake;
}

}  // namespace ringlog::test
