// sync: sends stored runs to sinks, several at once, and says when everything is there.
//
// The service sends; this asks it to, shows how far it is, and goes on with the next service when
// one dies.  What was acknowledged stands in the runs' stores: whoever interrupts it runs it again.

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <list>
#include <set>
#include <utility>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/sync_job.h"
#include "cli/sync_page.h"
#include "client/launch.h"
#include "client/runtime_dir.h"
#include "client/settings_layers.h"
#include "shm/posix.h"
#include "store/reader.h"
#include "store/runs.h"

namespace ringlog::cli {

namespace {

constexpr std::chrono::milliseconds kServiceWait{10'000};
// Tries to find or start a service before it is said that there is none.
constexpr int kServiceTries = 3;

// Ctrl-C and TERM are taken between two questions, so that what was reached is said.
class Interrupt {
 public:
  Interrupt() {
    ::sigemptyset(&signals_);
    ::sigaddset(&signals_, SIGINT);
    ::sigaddset(&signals_, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &signals_, nullptr);
  }
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  ~Interrupt() { ::sigprocmask(SIG_UNBLOCK, &signals_, nullptr); }

  // Waits; the signal that came, or 0.
  int wait(std::chrono::milliseconds time) const {
    const timespec timeout{time.count() / 1000, (time.count() % 1000) * 1'000'000};
    return std::max(0, ::sigtimedwait(&signals_, nullptr, &timeout));
  }

 private:
  sigset_t signals_{};
};

// The sinks that the store knows, of init() and of an earlier sync; else those of the settings.
Result<std::vector<std::string>> own_sinks(const std::string& dir,
                                           const std::vector<std::string>& of_settings) {
  auto reader = store::RunReader::open(dir);
  if (!reader) return reader.take_error();
  auto meta = (*reader)->meta();
  if (!meta) return meta.take_error();
  auto sent = (*reader)->sinks();
  if (!sent) return sent.take_error();
  std::set<std::string> urls(meta->sinks.begin(), meta->sinks.end());
  for (const auto& [url, state] : *sent) urls.insert(url);
  if (urls.empty()) urls.insert(of_settings.begin(), of_settings.end());
  if (urls.empty()) {
    return Error{Code::kInvalidArgument, "it has no sink; name one with --sink or RINGLOG_SINKS"};
  }
  return std::vector<std::string>(urls.begin(), urls.end());
}

Result<std::vector<store::RunPlace>> chosen_runs(const Context& context,
                                                 const SyncOptions& options) {
  std::vector<store::RunPlace> runs;
  if (options.is_all || !options.project.empty()) {
    auto found = store::find_runs(context.root);
    if (!found) return found.take_error();
    std::erase_if(*found, [&](const store::RunPlace& run) {
      return !options.project.empty() && run.project != options.project;
    });
    if (found->empty()) {
      return Error{Code::kNotFound, options.project.empty()
                                        ? "there are no runs under " + context.root
                                        : "there are no runs of project " + options.project +
                                              " under " + context.root};
    }
    // The oldest first: it has waited longest.
    return std::vector<store::RunPlace>(found->rbegin(), found->rend());
  }
  std::set<std::string> dirs;
  for (const std::string& name : options.runs) {
    auto run = store::resolve_run(context.root, name);
    if (!run) return run.take_error();
    if (dirs.insert(run->dir).second) runs.push_back(*std::move(run));
  }
  return runs;
}

class Sync {
 public:
  Sync(Context& context, const SyncOptions& options, const std::vector<store::RunPlace>& runs,
       std::vector<std::string> setting)
      : context_(context),
        options_(options),
        setting_(std::move(setting)),
        waiting_(runs.begin(), runs.end()),
        run_count_(runs.size()),
        page_(detect_style(STDERR_FILENO)) {}

  int send_all();

 private:
  void fill();
  void step();
  bool connect();
  void put_away();
  void conclude(const SyncJob& job);
  void give_up(const std::string& why);

  Context& context_;
  const SyncOptions& options_;
  const std::vector<std::string> setting_;  // sinks
  std::list<store::RunPlace> waiting_;
  const size_t run_count_;
  SyncPage page_;
  std::unique_ptr<client::ControlClient> service_;
  int failed_connects_ = 0;
  std::list<SyncJob> jobs_;  // being sent
  size_t over_ = 0;
  size_t delivered_ = 0;
  Json documents_ = Json::array();
};

Json document_of(const SyncJob& job) {
  Json sinks = Json::array();
  for (const LiveSink& sink : job.sinks()) {
    sinks.push_back({{"url", sink.url},
                     {"state", sink.state},
                     {"sent", sink.sent_rows},
                     {"lag", sink.lag_rows},
                     {"left_out", sink.left_out_rows},
                     {"error", sink.last_error}});
  }
  const bool is_delivered = job.state() == SyncJob::State::kDelivered;
  Json json = {{"id", job.place().run_id},
               {"project", job.place().project},
               {"dir", job.place().dir},
               {"delivered", is_delivered},
               {"rows", job.stored_rows()}};
  json["sinks"] = std::move(sinks);
  json["error"] = is_delivered ? Json(nullptr) : Json(job.trouble());
  return json;
}

// Takes up as many runs as may be sent at once.
void Sync::fill() {
  while (jobs_.size() < kSyncRunsAtOnce && !waiting_.empty()) {
    store::RunPlace place = std::move(waiting_.front());
    waiting_.pop_front();
    auto sinks = options_.sinks.empty() ? own_sinks(place.dir, setting_) : options_.sinks;
    const std::string why = sinks ? "" : sinks.error().message;
    jobs_.emplace_back(
        std::move(place), sinks ? *std::move(sinks) : std::vector<std::string>(),
        SyncJob::Wish{options_.is_following, int64_t{options_.timeout_s} * 1'000'000'000});
    if (!why.empty()) jobs_.back().fail(why);
  }
}

// False: there is no service, and none can be started.
bool Sync::connect() {
  if (service_) return true;
  auto service = client::connect_or_launch(client::runtime_dir(), kServiceWait);
  if (service) {
    service_ = *std::move(service);
    failed_connects_ = 0;
    return true;
  }
  if (++failed_connects_ >= kServiceTries) give_up(service.error().message);
  return false;
}

void Sync::give_up(const std::string& why) {
  for (SyncJob& job : jobs_) {
    if (!job.is_over()) job.fail(why);
  }
}

void Sync::step() {
  if (!connect()) return;
  for (SyncJob& job : jobs_) {
    if (job.is_over()) continue;
    if (job.step(*service_, shm::monotonic_ns())) continue;
    service_.reset();
    for (SyncJob& other : jobs_) other.lose_service();
    return;
  }
}

void Sync::conclude(const SyncJob& job) {
  ++over_;
  const std::string name = printable(job.place().project + "/" + job.place().run_id);
  if (context_.is_json) documents_.push_back(document_of(job));
  if (job.state() != SyncJob::State::kDelivered) {
    page_.clear();
    return say(fmt::format("{}: {}", name, printable(job.trouble())));
  }
  ++delivered_;
  if (context_.is_json) return;
  page_.clear();
  for (const std::string& url : job.urls()) {
    context_.out.write(fmt::format("{}: {} delivered to {}\n", name,
                                   format_plural(job.stored_rows(), "row"), printable(url)));
  }
  context_.out.flush();
}

void Sync::put_away() {
  for (auto job = jobs_.begin(); job != jobs_.end();) {
    if (!job->is_over()) {
      ++job;
      continue;
    }
    conclude(*job);
    job = jobs_.erase(job);
  }
}

int Sync::send_all() {
  int signal = 0;
  {
    const Interrupt interrupt;
    for (fill(); !jobs_.empty() && signal == 0; fill()) {
      step();
      put_away();
      if (jobs_.empty() && waiting_.empty()) break;
      page_.show(jobs_, {over_, run_count_}, shm::monotonic_ns());
      signal = interrupt.wait(kSyncPollMs);
    }
    page_.clear();
    for (SyncJob& job : jobs_) job.fail("interrupted");
    if (context_.is_json) {
      for (const SyncJob& job : jobs_) documents_.push_back(document_of(job));
      print_json(context_, {{"delivered", delivered_ == run_count_}, {"runs", documents_}});
      context_.out.flush();
    }
    if (signal != 0) {
      say(fmt::format("interrupted with {} of {} delivered; run it again to go on", delivered_,
                      format_plural(run_count_, "run")));
    }
  }
  if (signal != 0) ::raise(signal);
  return delivered_ == run_count_ ? kExitOk : kExitFailed;
}

// Runs that are written to one file at once would cut each other off.
Status check_files(const std::vector<std::string>& sinks, size_t run_count) {
  for (const std::string& sink : sinks) {
    if (run_count < 2 || !sink.starts_with("jsonl+file://")) continue;
    if (sink.find("{run}") != std::string::npos) continue;
    return Error{Code::kInvalidArgument, "sync: " + sink + " is one file for " +
                                             format_plural(run_count, "run") +
                                             "; put {run} into its name"};
  }
  return Done{};
}

}  // namespace

int run_sync(Context& context, const SyncOptions& options) {
  if (options.runs.empty() && !options.is_all && options.project.empty()) {
    say("sync: name runs, or --all, or --project");
    return kExitUsage;
  }
  auto runs = chosen_runs(context, options);
  if (!runs) return fail(runs.take_error().in("sync"));
  auto settings = client::resolve_settings(client::SettingFields{});
  if (!settings) {
    fail(settings.error());
    return kExitUsage;
  }
  if (Status s = check_files(options.sinks, runs->size()); !s) {
    fail(s.error());
    return kExitUsage;
  }
  return Sync(context, options, *runs, settings->sinks).send_all();
}

}  // namespace ringlog::cli
