// One rank of a training job, as the end-to-end tests need it: it logs rows that can be told apart
// (rows.h), keeps in a ledger how far it came (ledger.h), and ends in the way it is told.
//
//   --ledger FILE     required
//   --process N       its entry in the ledger
//   --rows N          rows of each thread; without it until the ledger's stop word
//   --threads N       threads that log
//   --kinds K         numbers | mixed
//   --burst N --pause-ms M   rests M milliseconds after every N rows
//   --forks N         each thread forks N children, one after another, while it logs
//   --child-rows N    rows of each child
//   --loops N         before that: init, log and finish so often in this process
//   --loop-rows N     rows of each thread in each of these
//   --barrier 1       says "ready" and waits for the end of standard input before init()
//   --end HOW         main | return:N | finish:N | exit:N | _exit:N | abort | segv | throw | caught
//   | hang
//
// Standard output: "ready", "logging" after init, then one JSON line about what it saw.  Settings
// come from the environment.

#include <ringlog/ringlog.h>

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "ledger.h"
#include "options.h"
#include "rows.h"

namespace {

using e2e::Kind;
using e2e::LedgerProcess;
using e2e::LedgerThread;
using e2e::RowId;

struct Job {
  e2e::Ledger* ledger = nullptr;
  uint64_t process = 0;
  bool is_endless = false;
  uint64_t rows = 0;
  uint64_t threads = 1;
  bool is_mixed = false;
  uint64_t burst = 0;
  uint64_t pause_ms = 0;
  uint64_t forks = 0;
  uint64_t child_rows = 0;
  uint64_t loops = 0;
  uint64_t loop_rows = 0;
};

uint64_t now_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

void say(const std::string& line) {
  const std::string text = line + "\n";
  if (::write(STDOUT_FILENO, text.data(), text.size()) < 0) std::exit(3);
}

std::string json_text(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out + "\"";
}

void introduce(LedgerProcess& entry, const ringlog::Run& run, uint64_t flags) {
  entry.pid.store(static_cast<uint64_t>(::getpid()), std::memory_order_relaxed);
  entry.rank.store(run.rank(), std::memory_order_relaxed);
  entry.attempt.store(run.attempt(), std::memory_order_relaxed);
  entry.flags.fetch_or(flags | (run.ok() ? e2e::kHasRun : e2e::kIsDisabled),
                       std::memory_order_relaxed);
}

// The only place that knows what a row of each kind holds; check_rows.cc and rows.py read it back.
void log_row(ringlog::Run& run, ringlog::Row& row, const RowId& id, Kind kind) {
  const ringlog::LogOptions options{.step = id.index};
  const double x = e2e::float_of(id, e2e::kFloat);
  const double y = e2e::float_of(id, e2e::kListA);
  if (kind == Kind::kRowHandle) {
    return row.log(id.index, id.process, id.thread, id.index, x, y);
  }
  const auto integer = static_cast<int64_t>(e2e::word_of(id, e2e::kInteger));
  if (kind == Kind::kNumbers) {
    return run.log({{"p", id.process},
                    {"t", id.thread},
                    {"i", id.index},
                    {"f", x},
                    {"n", integer},
                    {"b", (e2e::word_of(id, e2e::kBoolean) & 1) != 0},
                    {"u", e2e::word_of(id, e2e::kUnsigned) | uint64_t{1} << 63}},
                   options);
  }
  const std::string text = e2e::text_of(id, kind);
  const std::vector<double> list = {y, e2e::float_of(id, e2e::kListB)};
  run.log({{"p", id.process},
           {"t", id.thread},
           {"i", id.index},
           {"text", text},
           {"list", list},
           {"o", {{"n", integer}, {"f", x}}}},
          options);
}

void raise_longest(LedgerProcess& entry, uint64_t ns) {
  uint64_t longest = entry.longest_log_ns.load(std::memory_order_relaxed);
  while (ns > longest && !entry.longest_log_ns.compare_exchange_weak(longest, ns)) {
  }
}

void log_counted(LedgerProcess& entry, ringlog::Run& run, ringlog::Row& row, const RowId& id,
                 bool is_mixed) {
  LedgerThread& thread = entry.threads.at(id.thread);
  thread.begun.store(id.index + 1, std::memory_order_relaxed);
  const uint64_t begin = now_ns();
  log_row(run, row, id, e2e::kind_of(id, is_mixed));
  raise_longest(entry, now_ns() - begin);
  thread.committed.store(id.index + 1, std::memory_order_relaxed);
}

// A forked child, like a data loader's worker: logs with the run it inherited, then ends.
[[noreturn]] void run_child(const Job& job, ringlog::Run& run, ringlog::Row& row,
                            uint64_t process) {
  LedgerProcess& entry = job.ledger->processes.at(process);
  entry.pid.store(static_cast<uint64_t>(::getpid()), std::memory_order_relaxed);
  for (uint64_t i = 0; i < job.child_rows; ++i) {
    log_counted(entry, run, row, {process, 0, i}, job.is_mixed);
    if (i == 0) introduce(entry, run, e2e::kIsChild);
  }
  entry.flags.fetch_or(e2e::kHasFinished, std::memory_order_relaxed);
  // Half of them leave through the exit handlers.
  if (process % 2 == 0) std::exit(0);
  ::_exit(0);
}

class Children {
 public:
  // Starts the next child when this row's turn has come.
  void fork_if_due(const Job& job, ringlog::Run& run, ringlog::Row& row, const RowId& id) {
    if (count_ >= job.forks || e2e::word_of(id, 99) % 64 != 0) return;
    const uint64_t process = job.ledger->next_process.fetch_add(1);
    if (process >= e2e::kProcessesMax) return;
    ++count_;
    const pid_t pid = ::fork();
    if (pid == 0) run_child(job, run, row, process);
    if (pid > 0) pids_.push_back(pid);
  }
  void reap() {
    for (const pid_t pid : pids_) ::waitpid(pid, nullptr, 0);
  }

 private:
  uint64_t count_ = 0;
  std::vector<pid_t> pids_;
};

void run_thread(const Job& job, ringlog::Run& run, uint64_t thread) {
  LedgerProcess& entry = job.ledger->processes.at(job.process);
  ringlog::Row row = run.row({"p", "t", "i", "x", "y"});
  Children children;
  for (uint64_t i = 0; job.is_endless || i < job.rows; ++i) {
    if (job.ledger->stop.load(std::memory_order_relaxed) != 0) break;
    const RowId id{job.process, thread, i};
    log_counted(entry, run, row, id, job.is_mixed);
    children.fork_if_due(job, run, row, id);
    if (job.burst != 0 && i % job.burst == job.burst - 1) {
      ::poll(nullptr, 0, static_cast<int>(job.pause_ms));
    }
  }
  children.reap();
}

void run_threads(const Job& job, ringlog::Run& run) {
  std::vector<std::thread> threads;
  for (uint64_t t = 1; t < job.threads; ++t) {
    threads.emplace_back([&job, &run, t] { run_thread(job, run, t); });
  }
  run_thread(job, run, 0);
  for (std::thread& thread : threads) thread.join();
}

// `finish` is null when nobody finished the run.
void report(const ringlog::Run& run, const LedgerProcess& entry,
            const ringlog::FinishReport* finish) {
  const bool did_log = (entry.flags.load() & e2e::kHasRun) != 0;
  std::string line = "{\"run\":" + json_text(run.id()) + ",\"ok\":" + (did_log ? "true" : "false") +
                     ",\"code\":" + std::to_string(static_cast<int>(run.error().code)) +
                     ",\"error\":" + json_text(run.error().message) +
                     ",\"longest_log_ns\":" + std::to_string(entry.longest_log_ns.load());
  if (finish != nullptr) {
    line += ",\"attempted\":" + std::to_string(finish->attempted) +
            ",\"stored\":" + std::to_string(finish->stored) +
            ",\"dropped\":" + std::to_string(finish->dropped);
  }
  say(line + "}");
}

// What is left of an `end` after its colon.
int code_in(const std::string& end) {
  const size_t colon = end.find(':');
  return colon == std::string::npos ? 0 : std::stoi(end.substr(colon + 1));
}

void end_as_told(const std::string& end, ringlog::Run& run, const LedgerProcess& entry) {
  if (end.starts_with("finish")) {
    const ringlog::FinishReport finish = run.finish(code_in(end));
    return report(run, entry, &finish);
  }
  report(run, entry, nullptr);
  if (end.starts_with("exit:")) std::exit(code_in(end));
  if (end.starts_with("_exit:")) ::_exit(code_in(end));
  if (end == "abort") std::abort();
  if (end == "segv") ::raise(SIGSEGV);
  if (end == "throw" || end == "caught") throw std::runtime_error("the training broke");
  while (end == "hang") ::pause();
}

// Attaches, logs and ends, again and again; each time is a process of its own in the ledger.
void run_loops(const Job& job) {
  for (uint64_t i = 0; i < job.loops; ++i) {
    if (job.ledger->stop.load(std::memory_order_relaxed) != 0) return;
    Job once = job;
    once.is_endless = false;
    once.rows = job.loop_rows;
    once.forks = 0;
    once.process = job.ledger->next_process.fetch_add(1);
    if (once.process >= e2e::kProcessesMax) return;
    LedgerProcess& entry = job.ledger->processes.at(once.process);
    ringlog::Run run = ringlog::init();
    introduce(entry, run, 0);
    run_threads(once, run);
    entry.flags.fetch_or(e2e::kHasFinished, std::memory_order_relaxed);
    // The others end with the object.
    if (i % 2 == 0) run.finish(0);
  }
}

Job job_of(const e2e::Options& options) {
  Job job;
  job.ledger = e2e::Ledger::map(options.text("ledger"));
  job.process = options.number("process", 0);
  job.is_endless = options.text("rows").empty();
  job.rows = options.number("rows", 0);
  job.threads = options.number("threads", 1);
  job.is_mixed = options.text("kinds", "numbers") == "mixed";
  job.burst = options.number("burst", 0);
  job.pause_ms = options.number("pause-ms", 0);
  job.forks = options.number("forks", 0);
  job.child_rows = options.number("child-rows", 0);
  job.loops = options.number("loops", 0);
  job.loop_rows = options.number("loop-rows", 0);
  return job;
}

void run_rank(const e2e::Options& options) {
  const Job job = job_of(options);
  if (options.number("barrier", 0) != 0) {
    say("ready");
    char byte = 0;
    while (::read(STDIN_FILENO, &byte, 1) > 0) {
    }
  }
  run_loops(job);
  LedgerProcess& entry = job.ledger->processes.at(job.process);
  ringlog::Run run = ringlog::init();
  introduce(entry, run, 0);
  say("logging");
  run_threads(job, run);
  entry.flags.fetch_or(e2e::kHasFinished, std::memory_order_relaxed);
  end_as_told(options.text("end", "finish:0"), run, entry);
}

}  // namespace

int main(int argc, char** argv) {
  const e2e::Options options(argc, argv);
  if (options.text("end") == "throw") {
    run_rank(options);  // nobody catches it
    return 0;
  }
  const std::string end = options.text("end");
  try {
    run_rank(options);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "e2e_rank: %s\n", e.what());
    return 1;
  }
  return end.starts_with("return:") ? code_in(end) : 0;
}
