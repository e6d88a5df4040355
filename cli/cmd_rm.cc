// rm: deletes a run, unless somebody still logs to it.

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/service.h"
#include "shm/posix.h"
#include "store/directory_lock.h"
#include "store/runs.h"

namespace ringlog::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kQueryWait{2'000};
// The service keeps a run open some seconds after its last process ended.
constexpr int64_t kCloseWaitNs = 6'000'000'000;

// How many processes may still log to the run.
uint64_t live_producers(const std::string& dir) {
  const auto open = find_open_run(dir, false, kQueryWait);
  return open ? open->run.live_count() : 0;
}

// Takes the lock that whoever writes the store holds, so that nobody opens it while it goes.
// Nothing to take: the store is gone already.
Result<std::unique_ptr<store::DirectoryLock>> lock_store(const std::string& dir) {
  const int64_t deadline = shm::monotonic_ns() + kCloseWaitNs;
  for (;;) {
    auto lock = store::DirectoryLock::take(dir + "/store", false);
    if (lock || lock.error().code != Code::kIo) return lock;
    if (shm::monotonic_ns() > deadline) return lock;
    constexpr int kPauseMs = 50;
    ::poll(nullptr, 0, kPauseMs);
  }
}

bool confirm(const store::RunPlace& place) {
  std::fprintf(stderr, "delete run %s of project %s, in %s? [y/N] ",
               printable(place.run_id).c_str(), printable(place.project).c_str(),
               printable(place.dir).c_str());
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

Status delete_run(const store::RunPlace& place, const std::string& root) {
  auto lock = lock_store(place.dir);
  if (!lock && lock.error().code != Code::kNotFound) return lock.take_error();
  std::error_code error;
  fs::remove_all(place.dir, error);
  if (error) return Error{Code::kIo, "delete " + place.dir + ": " + error.message()};
  // The project's folder goes with its last run; it stays, without a word, while it has others.
  const fs::path project = fs::path(place.dir).parent_path();
  if (project.parent_path() == root) fs::remove(project, error);
  return Done{};
}

}  // namespace

int run_rm(Context& context, const RmOptions& options) {
  auto place = store::resolve_run(context.root, options.run);
  if (!place) return fail(place.error());
  const std::string name = "run " + printable(place->run_id);
  if (const uint64_t live = live_producers(place->dir); live > 0) {
    return fail({Code::kInvalidArgument,
                 fmt::format("{}: {} still attached; end {} first (ringlog stop)", name,
                             live == 1 ? "a process is" : fmt::format("{} processes are", live),
                             live == 1 ? "it" : "them")});
  }
  if (!options.is_forced && ::isatty(STDIN_FILENO) == 1 && !confirm(*place)) return kExitFailed;
  if (Status s = delete_run(*place, context.root); !s) return fail(s.take_error().in(name));
  say("deleted " + name);
  return kExitOk;
}

}  // namespace ringlog::cli
