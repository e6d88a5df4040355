#include "client/process.h"

#include "client/held_mutex.h"
#include "client/in_process.h"
#include "client/ring_use.h"
#include "client/run_core.h"
#include "client/session.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace ringlog::client {

namespace {

struct Process {
  HeldMutex mutex;
  std::vector<std::weak_ptr<detail::RunCore>> runs;               // guarded by mutex
  std::vector<std::shared_ptr<detail::RunCore>> locked_for_fork;  // between prepare and after
  sigset_t signals_before_fork;                                   // as above
  bool was_inside_before_fork = false;                            // as above
};

// Never destroyed: exit handlers and late threads may still use it.
Process& process() {
  static auto* const kProcess = new Process;
  return *kProcess;
}

std::vector<std::shared_ptr<detail::RunCore>> live_runs(Process& p) {
  std::vector<std::shared_ptr<detail::RunCore>> live;
  for (const auto& run : p.runs) {
    if (auto core = run.lock()) live.push_back(std::move(core));
  }
  return live;
}

std::vector<std::shared_ptr<detail::RunCore>> all_runs() {
  Process& p = process();
  const std::lock_guard lock(p.mutex);
  return live_runs(p);
}

void on_exit_handler(int status, void*) {
  for (const auto& run : all_runs()) run->on_process_exit(status);
}

void on_exit_with_service(int status, void*) {
  if (!InProcess::is_here()) return;
  for (const auto& run : all_runs()) {
    run->on_process_exit(status);
    run->finish_with_service(status);
  }
  InProcess::stop();
}

// Until the child has been told that it is one, its thread seems to have a ring that is not mapped
// there: a signal handler that logs waits, and rows of somebody else's fork handlers are counted as
// dropped.
void keep_out_of_rings(Process& p) {
  sigset_t all;
  sigfillset(&all);
  sigset_t before;
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  p.mutex.lock();
  p.signals_before_fork = before;
  p.was_inside_before_fork = std::exchange(t_rings.is_inside, true);
}

void prepare_fork() {
  Process& p = process();
  keep_out_of_rings(p);
  InProcess::before_fork();
  p.locked_for_fork = live_runs(p);
  for (const auto& run : p.locked_for_fork) run->before_fork();
  Session::lock_all_for_fork();
}

void after_fork(bool is_child) {
  Process& p = process();
  for (const auto& run : p.locked_for_fork) run->after_fork(is_child);
  Session::unlock_all_after_fork(is_child);
  InProcess::after_fork(is_child);
  // The last reference may go here; a run is destroyed without the lock its members might want.
  const auto runs = std::move(p.locked_for_fork);
  p.locked_for_fork.clear();
  const sigset_t signals = p.signals_before_fork;
  t_rings.is_inside = p.was_inside_before_fork;
  p.mutex.unlock();
  ::pthread_sigmask(SIG_SETMASK, &signals, nullptr);
}

}  // namespace

namespace {

// The C library holds a lock of its own meanwhile, which a child forked by another thread would
// inherit and wait for in exit(): no fork happens while this one is held.
void call_at_exit(void (*handler)(int, void*)) {
  const std::lock_guard lock(process().mutex);
  ::on_exit(handler, nullptr);
}

}  // namespace

void watch_process_events(const std::shared_ptr<detail::RunCore>& run) {
  static std::once_flag once;
  std::call_once(once, [] {
    ::pthread_atfork(
        prepare_fork, [] { after_fork(false); }, [] { after_fork(true); });
    call_at_exit(on_exit_handler);
  });
  Process& p = process();
  const std::lock_guard lock(p.mutex);
  std::erase_if(p.runs, [](const auto& weak) { return weak.expired(); });
  p.runs.push_back(run);
}

void watch_exit_with_service() {
  static std::once_flag once;
  std::call_once(once, [] { call_at_exit(on_exit_with_service); });
}

void watch_exit_again() { call_at_exit(on_exit_handler); }

}  // namespace ringlog::client
