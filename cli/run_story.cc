#include "cli/run_story.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/format.h"
#include "reader/access.h"
#include "shm/posix.h"

namespace ringlog::cli {

namespace {

constexpr std::chrono::milliseconds kLiveWait{500};
// Lines of the console, and those with --all.
constexpr size_t kConsoleLinesMax = 10;
constexpr size_t kConsoleLinesWhole = 100;
// The last alerts, and those with --all.
constexpr size_t kAlertsMax = 10;
constexpr size_t kAlertsWhole = 1000;

// Reads one part into the story; a part that cannot be read becomes a note, not the end.
template <typename T>
void take(RunStory& story, T& into, Result<T> part, std::string_view what) {
  if (part) {
    into = *std::move(part);
    return;
  }
  story.notes.push_back(fmt::format("{}: {}", what, part.error().message));
}

}  // namespace

RunStory read_story(RunReader& run, RunDescription about, const ShowOptions& options) {
  RunStory story;
  store::RunReader& store = ReaderAccess::store(run);
  story.about = std::move(about);
  take(story, story.processes, run.processes(), "ranks");
  take(story, story.config, run.config(), "config");
  take(story, story.summary, run.summary(), "summary");
  take(story, story.metrics, store.metrics(), "metrics");
  take(story, story.rules, store.rules(), "definitions of metrics");
  take(story, story.aggregates, store.aggregates(), "ranks of metrics");
  take(story, story.stats, store.last_stats(), "system");
  take(story, story.rows, run.row_count(), "rows");
  take(story, story.console,
       last_console_lines(store, options.is_whole ? kConsoleLinesWhole : kConsoleLinesMax),
       "console");
  take(story, story.surroundings, read_processes(store), "surroundings");
  take(story, story.files, read_files(store), "files");
  take(story, story.alerts, read_alerts(store, options.is_whole ? kAlertsWhole : kAlertsMax),
       "alerts");
  for (const std::string& line : run.damage()) story.notes.push_back("damaged: " + line);
  for (const ProcessDescription& process : story.processes) {
    for (std::string& note : poison_notes(process)) story.notes.push_back(std::move(note));
  }
  for (std::string& note : unread_end_notes(story.processes)) {
    story.notes.push_back(std::move(note));
  }
  for (std::string& note : lost_record_notes(story.processes)) {
    story.notes.push_back(std::move(note));
  }
  if (story.about.state == "running" && !story.about.is_live) {
    story.notes.emplace_back(
        "no service has this run open: the state is the last one known, and what its processes "
        "committed since is stored when the next service starts (ringlog service start)");
  }
  if (story.about.is_behind) {
    story.notes.emplace_back(
        "the service did not answer in time: what was committed last is not shown");
  }
  if (story.about.state.empty()) story.about.state = "unknown";
  // A run that has ended may wait there for its sinks.
  if (!story.about.sinks.empty()) {
    if (auto open = find_open_run(story.about.dir, false, kLiveWait)) {
      story.live_sinks = std::move(open->run.sinks);
    }
  }
  return story;
}

int64_t duration_ns(const RunDescription& about) {
  return (about.ended_ns != 0 ? about.ended_ns : shm::realtime_ns()) - about.created_ns;
}

std::vector<StoredSink> stored_sinks(const RunStory& story) {
  if (!story.live_sinks.empty()) return {};
  uint64_t stored = 0;
  for (const ProcessDescription& process : story.processes) stored += process.rows;
  std::vector<StoredSink> sinks;
  for (const SinkDescription& about : story.about.sinks) {
    const uint64_t done = std::min(stored, about.sent_rows + about.left_out_rows);
    StoredSink sink{about.url, done == stored ? "done" : "waiting", about.sent_rows, stored - done,
                    ""};
    if (about.left_out_rows > 0) sink.error = std::to_string(about.left_out_rows) + " left out";
    sinks.push_back(std::move(sink));
  }
  return sinks;
}

namespace {

Json sinks_json(const RunStory& story) {
  Json sinks = Json::array();
  for (const LiveSink& sink : story.live_sinks) {
    sinks.push_back({{"url", sink.url},
                     {"state", sink.state},
                     {"sent", sink.sent_rows},
                     {"lag", sink.lag_rows},
                     {"error", sink.last_error}});
  }
  for (const StoredSink& sink : stored_sinks(story)) {
    sinks.push_back({{"url", sink.url},
                     {"state", sink.state},
                     {"sent", sink.sent},
                     {"lag", sink.lag},
                     {"error", sink.error}});
  }
  return sinks;
}

}  // namespace

Json document_of(const RunStory& story) {
  const RunDescription& about = story.about;
  Json json = {{"id", about.id},       {"name", about.name},   {"project", about.project},
               {"group", about.group}, {"tags", about.tags},   {"notes", about.notes},
               {"dir", about.dir},     {"state", about.state}, {"live", about.is_live}};
  json["created"] = json_seconds(about.created_ns);
  json["ended"] = json_seconds(about.ended_ns);
  json["duration"] = static_cast<double>(duration_ns(about)) / 1e9;
  json["host"] = about.host;
  json["command"] = about.command;
  json["version"] = about.version;
  json["rows"] = story.rows;
  json["config"] = json_of(story.config);
  json["summary"] = json_of(story.summary);
  json["metrics"] = metrics_json(story.metrics, story.rules, story.aggregates);
  Json producers = Json::array();
  for (const ProcessDescription& process : story.processes) producers.push_back(json_of(process));
  json["producers"] = std::move(producers);
  json["absent_ranks"] = absent_ranks(story.processes);
  json["system"] = system_json(story.stats);
  json["sinks"] = sinks_json(story);
  Json console = Json::array();
  for (const ConsoleEntry& entry : story.console) console.push_back(json_of(entry));
  json["console"] = std::move(console);
  Json files = Json::array();
  for (const FileEntry& file : story.files) files.push_back(json_of(file));
  json["files"] = std::move(files);
  Json alerts = Json::array();
  for (const AlertEntry& alert : story.alerts.last) alerts.push_back(json_of(alert));
  json["alerts"] = std::move(alerts);
  json["alert_count"] = story.alerts.count;
  const ProcessEntry* const main = main_process(story.surroundings);
  json["git"] = main == nullptr ? Json(nullptr) : git_json(*main, story.about.dir);
  Json processes = Json::array();
  for (const ProcessEntry& process : story.surroundings) processes.push_back(json_of(process));
  json["processes"] = std::move(processes);
  json["problems"] = story.notes;
  return json;
}

}  // namespace ringlog::cli
