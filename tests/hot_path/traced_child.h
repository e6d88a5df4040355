#pragma once
// A child that its parent follows instruction by instruction, or from system call to system call,
// and may kill wherever it stands.
//
//   child                                  parent
//   let_follow(): asks to be traced,
//     stops                                wait_until_it_asks()
//   begin()                                step() until has_begun(), then as often as it likes
//   what is looked at, end()               step() until has_ended(), or kill()
//
// Stepping makes a child slow, which it could tell from the time.  After let_follow_without_time()
// the processor's time stamp counter moves by what the parent answers, as if nothing happened.
//
// Both sides are processes with one thread.  The child is made by fork(2) without exec, so that all
// children and the parent have the same code at the same addresses.

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace ringlog::test {

// What the child tells, in memory that both have.  A store that was executed is there, whatever
// happens to the child; nothing else is published with it.
class Progress {
 public:
  // The child's side.
  void let_follow() {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(kRefused);
    stop();
  }
  void let_follow_without_time() {
#if defined(__x86_64__)
    ticks_.store(__rdtsc(), std::memory_order_seq_cst);
#endif
    ::prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
    let_follow();
  }
  // Once it is followed: stands still again.
  static void stop() {
#if defined(__x86_64__)
    __asm__ volatile("int3");  // from which a step leads straight on, not out of raise(3)
#else
    ::raise(SIGSTOP);
#endif
  }
  void begin() { state_.store(1, std::memory_order_seq_cst); }
  void end() { state_.store(2, std::memory_order_seq_cst); }
  void begin_row() { begun_.store(rows_begun() + 1, std::memory_order_seq_cst); }
  void end_row() { committed_.store(rows_committed() + 1, std::memory_order_seq_cst); }

  // The parent's side: also after the child's death.
  bool has_begun() const { return state_.load(std::memory_order_seq_cst) >= 1; }
  bool has_ended() const { return state_.load(std::memory_order_seq_cst) >= 2; }
  // Calls of log() that were begun and that have returned.
  uint64_t rows_begun() const { return begun_.load(std::memory_order_seq_cst); }
  uint64_t rows_committed() const { return committed_.load(std::memory_order_seq_cst); }
  // The time stamp counter when let_follow_without_time() was called.
  uint64_t ticks() const { return ticks_.load(std::memory_order_seq_cst); }

  static constexpr int kRefused = 77;

 private:
  std::atomic<uint32_t> state_{0};
  std::atomic<uint64_t> begun_{0};
  std::atomic<uint64_t> committed_{0};
  std::atomic<uint64_t> ticks_{0};
};

// A Progress in a shared mapping of its own.
class SharedProgress {
 public:
  SharedProgress() {
    void* const memory = ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("mmap");
    progress_ = new (memory) Progress;
  }
  ~SharedProgress() { ::munmap(progress_, sizeof(Progress)); }
  SharedProgress(const SharedProgress&) = delete;
  SharedProgress& operator=(const SharedProgress&) = delete;
  Progress& operator*() const { return *progress_; }
  Progress* operator->() const { return progress_; }

 private:
  Progress* progress_;
};

class TracedChild {
 public:
  // Runs `body` in a child, which dies with this thread and at its latest with this object.
  explicit TracedChild(const std::function<void()>& body) : pid_(::fork()) {
    if (pid_ < 0) throw std::runtime_error("fork");
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    ::_exit(0);
  }
  // One that forked() gave; it stands still before its first instruction.
  explicit TracedChild(pid_t pid) : pid_(pid) {
    if (pid <= 0) throw std::runtime_error("nobody was forked");
    wait();
  }
  ~TracedChild() { kill(); }
  TracedChild(const TracedChild&) = delete;
  TracedChild& operator=(const TracedChild&) = delete;

  // False: it may not be traced here.  An exception: it ended before it asked.
  bool wait_until_it_asks() {
    wait();
    if (!is_there_) {
      if (WIFEXITED(status_) && WEXITSTATUS(status_) == Progress::kRefused) return false;
      throw std::runtime_error("the child ended with wait status " + std::to_string(status_));
    }
    // It must not outlive its tracer, and a system call looks different from a signal.
    return trace(PTRACE_SETOPTIONS, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK);
  }
  // One instruction; a system call is one.  False: the child is gone.
  bool step(const Progress& progress) {
    if (!trace(PTRACE_SINGLESTEP) || !wait()) return false;
    if (WSTOPSIG(status_) == SIGSEGV) answer_counter(progress);
    return true;
  }
  // Up to the beginning or the end of the next system call, or the next signal.
  bool run_to_system_call() { return trace(PTRACE_SYSCALL) && wait(); }
  // Up to the next signal; all are kept from the child.
  bool run_to_signal() { return trace(PTRACE_CONT) && wait(); }

  // The next instruction.
  uintptr_t address() const { return static_cast<uintptr_t>(look().instruction_pointer); }
  // After run_to_system_call(): its number, at its beginning; -1: this is its end, or a signal.
  int64_t system_call() const {
    const Stop stop = look();
    return stop.op == PTRACE_SYSCALL_INFO_ENTRY ? static_cast<int64_t>(stop.entry.nr) : -1;
  }
  // After run_to_signal(): the child that it has just forked, which is traced too; 0: it has not.
  pid_t forked() const {
    if (status_ >> 8 != (SIGTRAP | PTRACE_EVENT_FORK << 8)) return 0;
    unsigned long pid = 0;
    ::ptrace(PTRACE_GETEVENTMSG, pid_, nullptr, &pid);
    return static_cast<pid_t>(pid);
  }
  bool has_exited_well() const { return !is_there_ && WIFEXITED(status_) && status_ == 0; }

  // Where it stands; returns when it is dead.
  void kill() {
    if (!is_there_) return;
    ::kill(pid_, SIGKILL);
    while (is_there_) wait();
  }

 private:
  bool trace(__ptrace_request request, unsigned long data = 0) {
    return is_there_ && ::ptrace(request, pid_, nullptr, data) == 0;
  }
  using Stop = struct __ptrace_syscall_info;
  Stop look() const {
    Stop stop{};
    ::ptrace(PTRACE_GET_SYSCALL_INFO, pid_, sizeof stop, &stop);
    return stop;
  }
#if defined(__x86_64__)
  void poke(size_t offset, uint64_t value) { ::ptrace(PTRACE_POKEUSER, pid_, offset, value); }
  // Does the instruction that reads the time stamp counter and faulted: rdtsc, or rdtscp, which is
  // a byte longer and also says on which processor.  Any other fault ends the child.
  void answer_counter(const Progress& progress) {
    const uint64_t code =
        static_cast<uint64_t>(::ptrace(PTRACE_PEEKTEXT, pid_, address(), nullptr)) & 0xffffff;
    const bool is_rdtscp = code == 0xf9010f;
    if (!is_rdtscp && (code & 0xffff) != 0x310f) return kill();
    counter_ = std::max(counter_, progress.ticks()) + kTicksBetweenReads;
    poke(offsetof(user_regs_struct, rax), counter_ & 0xffffffff);
    poke(offsetof(user_regs_struct, rdx), counter_ >> 32);
    if (is_rdtscp) poke(offsetof(user_regs_struct, rcx), 0);
    poke(offsetof(user_regs_struct, rip), address() + (is_rdtscp ? 3 : 2));
  }
#else
  void answer_counter(const Progress&) { kill(); }
#endif
  bool wait() {
    const pid_t found = ::waitpid(pid_, &status_, __WALL);
    is_there_ = found == pid_ && WIFSTOPPED(status_);
    return is_there_;
  }

  static constexpr uint64_t kTicksBetweenReads = 50;

  const pid_t pid_;
  uint64_t counter_ = 0;
  int status_ = 0;
  bool is_there_ = true;
};

}  // namespace ringlog::test
