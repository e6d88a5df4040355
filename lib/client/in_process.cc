#include "client/in_process.h"

#include "client/in_process_module.h"
#include "client/launch.h"
#include "client/runtime_dir.h"
#include "shm/in_process_dir.h"
#include "shm/posix.h"

#include <dlfcn.h>
#include <ringlog/version.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

namespace ringlog::client {

namespace {

struct State {
  std::mutex mutex;
  const RinglogInProcess* module = nullptr;
  void* service = nullptr;
  std::string runtime_dir;  // of the service; of the last one when there is none
  size_t shares = 0;        // of this process
  pid_t parent = 0;         // whose service a forked child shares; 0: this is none
};

// Never destroyed: exit handlers and late threads may still use it.
State& state() {
  static auto* const kState = new State;
  return *kState;
}

std::vector<std::string> module_places() {
  const std::string own = own_directory();
  const std::string file = std::string("/") + kInProcessFile;
  std::vector<std::string> places;
  if (!own.empty()) {
    places.push_back(own + file);                                     // lib/libringlog.so
    places.push_back(own.substr(0, own.rfind('/')) + "/lib" + file);  // bin/ringlog
  }
#ifdef RINGLOG_INSTALL_LIBDIR
  places.push_back(RINGLOG_INSTALL_LIBDIR + file);
#endif
  places.emplace_back(kInProcessFile);  // where the system looks
  return places;
}

// Loaded for good: its threads' code must not go away.
Result<const RinglogInProcess*> load_module() {
  std::string tried;
  for (const std::string& place : module_places()) {
    void* const library = ::dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == nullptr) {
      const char* const why = ::dlerror();
      tried += (tried.empty() ? "" : "; ") + std::string(why == nullptr ? place : why);
      continue;
    }
    const auto* const module =
        static_cast<const RinglogInProcess*>(::dlsym(library, kInProcessSymbol));
    if (module == nullptr) return Error{Code::kVersion, place + " is not ringlog's module"};
    if (std::strcmp(module->version, RINGLOG_VERSION) != 0) {
      return Error{Code::kVersion, place + " is of version " + module->version +
                                       ", the library of " RINGLOG_VERSION};
    }
    return module;
  }
  return Error{Code::kNotFound, std::string(kInProcessFile) + " cannot be loaded: " + tried};
}

// The folders above the service's own, private as all of the runtime directory.
Result<std::string> prepare_runtime_dir() {
  const std::string user = client::runtime_dir();
  if (Status s = shm::make_directories(user.substr(0, user.rfind('/'))); !s) return s.take_error();
  for (const std::string& folder : {user, shm::in_process_folder(user)}) {
    if (Status s = shm::private_directory(folder); !s) {
      return std::move(s.take_error()).in("runtime directory");
    }
  }
  return shm::in_process_dir(user);
}

// Requires the lock.
Status start_locked(State& s) {
  if (s.module == nullptr) {
    auto module = load_module();
    if (!module) return module.take_error();
    s.module = *module;
  }
  auto runtime_dir = prepare_runtime_dir();
  if (!runtime_dir) return runtime_dir.take_error();
  std::array<char, 512> why{};
  s.service = s.module->start(runtime_dir->c_str(), why.data(), why.size());
  if (s.service == nullptr) return Error{Code::kServiceGone, why.data()};
  s.runtime_dir = std::move(*runtime_dir);
  return Done{};
}

// Requires the lock.
void stop_locked(State& s) {
  if (s.service != nullptr) s.module->stop(std::exchange(s.service, nullptr));
}

}  // namespace

Result<std::shared_ptr<InProcess>> InProcess::share() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (s.service == nullptr && s.parent == 0) {
    if (Status started = start_locked(s); !started) {
      return std::move(started.take_error()).in("in-process service");
    }
  }
  ++s.shares;
  return std::shared_ptr<InProcess>(new InProcess(s.runtime_dir));
}

InProcess::~InProcess() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  // In a forked child the shares of its parent are not counted, and there is nothing to stop.
  if (s.shares > 0 && --s.shares == 0) stop_locked(s);
}

bool InProcess::is_here() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  return s.service != nullptr;
}

void InProcess::stop() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  stop_locked(s);
}

void InProcess::before_fork() { state().mutex.lock(); }

void InProcess::after_fork(bool is_child) {
  State& s = state();
  // Once the module was loaded, LevelDB may have been used.
  if (is_child && s.module != nullptr) {
    if (s.parent == 0) s.parent = ::getppid();
    s.service = nullptr;
    s.shares = 0;
  }
  s.mutex.unlock();
}

}  // namespace ringlog::client
