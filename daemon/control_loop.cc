#include "daemon/control_loop.h"

#include "daemon/log.h"

#include "shm/posix.h"

#include <kj/async-io.h>
#include <kj/async-unix.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <mutex>
#include <vector>

namespace ringlog::service {

namespace {

using Observer = kj::UnixEventPort::FdObserver;

// The signal must be captured before the event port exists, which ignores SIGPIPE for the process.
kj::AsyncIoContext make_io(Signals signals) {
  if (signals == Signals::kTake) {
    kj::UnixEventPort::captureSignal(SIGTERM);
    return kj::setupAsyncIo();
  }
  struct sigaction before {};
  ::sigaction(SIGPIPE, nullptr, &before);
  auto io = kj::setupAsyncIo();
  ::sigaction(SIGPIPE, &before, nullptr);
  return io;
}

class TaskErrors final : public kj::TaskSet::ErrorHandler {
 public:
  void taskFailed(kj::Exception&& exception) override {
    log().error("control: {}", exception.getDescription().cStr());
  }
};

class KjWatch final : public Loop::Watch {
 public:
  // Closing an epoll registration of ours cannot fail.
  ~KjWatch() noexcept override = default;
  KjWatch(kj::UnixEventPort& port, int fd, Loop& loop, std::function<void()> ready)
      : observer_(port, fd, Observer::OBSERVE_READ),
        // Posted, because `ready` usually destroys this watch.
        promise_(observer_.whenBecomesReadable()
                     .then([&loop, ready = std::move(ready)] { loop.post(ready); })
                     .eagerlyEvaluate([](kj::Exception&& exception) {
                       log().error("watch: {}", exception.getDescription().cStr());
                     })) {}

 private:
  Observer observer_;
  kj::Promise<void> promise_;
};

}  // namespace

struct ControlLoop::Impl {
  explicit Impl(Signals signals)
      : takes_signals(signals == Signals::kTake),
        io(make_io(signals)),
        wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        wake_observer(io.unixEventPort, wake.get(), Observer::OBSERVE_READ),
        tasks(errors),
        exit(kj::newPromiseAndFulfiller<void>()) {
    tasks.add(run_posted());
  }

  kj::Promise<void> run_posted() {
    return wake_observer.whenBecomesReadable().then([this] {
      uint64_t count = 0;
      // Drained to EAGAIN, as the edge-triggered observer wants.
      while (::read(wake.get(), &count, sizeof count) > 0) {
      }
      std::vector<std::function<void()>> now;
      {
        const std::lock_guard lock(mutex);
        now.swap(posted);
      }
      // What one of them meets must not keep the others, and all that come later, from running.
      for (const auto& task : now) {
        KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&] { task(); })) {
          errors.taskFailed(kj::mv(*exception));
        }
      }
      return run_posted();
    });
  }

  const bool takes_signals;
  kj::AsyncIoContext io;
  shm::Fd wake;
  Observer wake_observer;
  TaskErrors errors;
  kj::TaskSet tasks;
  kj::PromiseFulfillerPair<void> exit;
  std::mutex mutex;
  std::vector<std::function<void()>> posted;  // guarded by mutex
};

ControlLoop::ControlLoop(Signals signals) : impl_(std::make_unique<Impl>(signals)) {}
ControlLoop::~ControlLoop() = default;

void ControlLoop::post(std::function<void()> task) {
  // Until the loop is woken nobody takes the task, which may be the one that ends it: who ran it
  // destroys it then.
  const std::lock_guard lock(impl_->mutex);
  impl_->posted.push_back(std::move(task));
  const uint64_t one = 1;
  // Fails only when the counter is full, and then a wake-up is pending anyway.
  [[maybe_unused]] const ssize_t n = ::write(impl_->wake.get(), &one, sizeof one);
}

void ControlLoop::after(int64_t delay_ms, std::function<void()> task) {
  impl_->tasks.add(impl_->io.lowLevelProvider->getTimer()
                       .afterDelay(delay_ms * kj::MILLISECONDS)
                       .then(std::move(task)));
}

std::unique_ptr<Loop::Watch> ControlLoop::when_readable(int fd, std::function<void()> ready) {
  try {
    return std::make_unique<KjWatch>(impl_->io.unixEventPort, fd, *this, std::move(ready));
  } catch (const kj::Exception& exception) {
    log().error("watch: {}", exception.getDescription().cStr());
    return nullptr;
  }
}

void ControlLoop::on_terminate(std::function<void()> task) {
  if (!impl_->takes_signals) return;
  impl_->tasks.add(impl_->io.unixEventPort.onSignal(SIGTERM).then(
      [task = std::move(task)](siginfo_t&&) { task(); }));
}

kj::AsyncIoContext& ControlLoop::io() { return impl_->io; }
void ControlLoop::run() { impl_->exit.promise.wait(impl_->io.waitScope); }
void ControlLoop::exit() { impl_->exit.fulfiller->fulfill(); }

}  // namespace ringlog::service
