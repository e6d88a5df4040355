#include "daemon/guest.h"

#include "daemon/log.h"
#include "daemon/runtime_dir.h"
#include "daemon/service.h"
#include "daemon/task_queue.h"
#include "daemon/thread.h"
#include "shm/posix.h"
#include "store/background.h"

#include <fcntl.h>
#include <kj/exception.h>
#include <linux/close_range.h>
#include <signal.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <limits>

namespace ringlog::service {

namespace {

// A descriptor table with the three standard ones, which lead nowhere.
Status leave_descriptors() {
  if (::close_range(0, ~0U, CLOSE_RANGE_UNSHARE) != 0) {
    return shm::errno_error("close_range (a service in a process needs Linux 5.9)");
  }
  for (int fd = 0; fd <= STDERR_FILENO; ++fd) {
    if (::open("/dev/null", O_RDWR) != fd) return shm::errno_error("open /dev/null");
  }
  return Done{};
}

// The thread that every guest of this process runs on.  It is there for good, because LevelDB's own
// thread is, and shares its descriptors.
class Host {
 public:
  // Unless it is there.
  //   kIo  it cannot be made; try again
  Status start() {
    if (is_started_) return Done{};
    // The program's handlers run on its own threads.  Not blocked is what an instruction of the
    // thread itself raises: the kernel would not call a handler then (sigbus.h, or the program's
    // that prints where it crashed), but kill the process.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    for (const int fault : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP}) sigdelset(&all, fault);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    auto thread = start_thread("ringlog", [this] { work(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!thread) return thread.take_error();
    thread->detach();
    is_started_ = true;
    return Done{};
  }
  void post(TaskQueue::Task task) { tasks_.post(std::move(task)); }
  // On the host thread.
  const Status& is_ready() const { return ready_; }

 private:
  void work() {
    ready_ = leave_descriptors();
    if (ready_) ready_ = store::own_background_thread();
    for (;;) {
      tasks_.wait(0, std::numeric_limits<int64_t>::max());
      tasks_.run();
    }
  }

  bool is_started_ = false;  // Guest::start() is one call at a time
  TaskQueue tasks_;
  Status ready_{Done{}};
};

Host& host() {
  static auto* const kHost = new Host;
  return *kHost;
}

}  // namespace

Result<std::unique_ptr<Guest>> Guest::start(const std::string& runtime_dir) {
  if (Status s = host().start(); !s) return s.take_error();
  std::unique_ptr<Guest> guest(new Guest(runtime_dir));
  host().post([&guest = *guest] { guest.run(); });
  std::unique_lock lock(guest->mutex_);
  guest->changed_.wait(lock, [&] { return guest->started_ != nullptr; });
  if (*guest->started_) return guest;
  guest->changed_.wait(lock, [&] { return guest->is_done_; });
  Error why = guest->started_->take_error();
  lock.unlock();
  return why;
}

Guest::~Guest() { stop(); }

void Guest::stop() {
  std::unique_lock lock(mutex_);
  is_stop_asked_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return is_done_; });
}

void Guest::tell(Status started) {
  const std::lock_guard lock(mutex_);
  started_ = std::make_unique<Status>(std::move(started));
  changed_.notify_all();
}

void Guest::run() {
  try {
    if (Status s = serve(); !s) tell(std::move(s));
  } catch (const kj::Exception& e) {
    tell(Error{Code::kIo, e.getDescription().cStr()});
  } catch (const std::exception& e) {
    tell(Error{Code::kIo, e.what()});
  }
  const std::lock_guard lock(mutex_);
  is_done_ = true;
  changed_.notify_all();
}

Status Guest::serve() {
  if (!host().is_ready()) return Error{host().is_ready().error()};
  auto place = claim_runtime_dir(runtime_dir_);
  if (!place) return place.take_error();
  if (!*place) return Error{Code::kIo, "another service lives in " + runtime_dir_};
  open_log(runtime_dir_ + "/service.log", false);
  // NVIDIA's library has descriptors of its own, which may be those of the program's table.
  MonitorPlaces machine;
  machine.nvml.clear();
  auto service = Service::start(**place, {.is_guest = true, .monitor = machine});
  if (!service) return service.take_error();
  if (Status s = run_until_stopped(**service); !s) return s;
  service->reset();
  close_log();
  remove_runtime_dir(**place);
  return Done{};
}

// The service is told on a thread that has its descriptors: who calls stop() has not.
Status Guest::run_until_stopped(Service& service) {
  auto stopper = start_thread("ringlog-stop", [&] {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_stop_asked_; });
    service.stop();
  });
  if (!stopper) return stopper.take_error();
  // However the service ends, also by an exception, the thread above does not wait any longer.
  KJ_DEFER({
    const std::lock_guard lock(mutex_);
    is_stop_asked_ = true;
    changed_.notify_all();
  });
  tell(Done{});
  service.run();
  return Done{};
}

}  // namespace ringlog::service
