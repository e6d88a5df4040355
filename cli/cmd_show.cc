// show: everything about one run but its rows.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/format.h"
#include "cli/metrics_view.h"
#include "cli/producers.h"
#include "cli/service.h"
#include "cli/system_view.h"
#include "cli/table.h"
#include "shm/posix.h"
#include "store/row_json.h"

namespace ringlog::cli {

namespace {

constexpr std::chrono::milliseconds kLiveWait{500};
// Lines of config, of summary and of metrics before the rest is only counted.
constexpr size_t kSectionLinesMax = 24;
// Lines of the console, and those with --all.
constexpr size_t kConsoleLinesMax = 10;
constexpr size_t kConsoleLinesWhole = 100;
// Columns of a line of config or summary where there is no terminal.
constexpr size_t kValueColumnsMax = 200;

// Everything that is shown, read once.
struct RunStory {
  store::RunMeta meta;
  std::vector<store::ProducerState> producers;
  store::Tree config;
  store::Tree summary;
  std::vector<store::Metric> metrics;
  store::MetricRules rules;
  store::AggregatesByPath aggregates;
  std::map<std::string, store::SinkState> sinks;
  store::Stats stats;                 // the last ones
  std::vector<ConsoleEntry> console;  // the last lines
  uint64_t rows = 0;
  std::vector<LiveSink> live_sinks;
  std::vector<std::string> notes;
};

// Reads one part into the story; a part that cannot be read becomes a note, not the end.
template <typename T>
void take(RunStory& story, T& into, Result<T> part, std::string_view what) {
  if (part) {
    into = *std::move(part);
    return;
  }
  story.notes.push_back(fmt::format("{}: {}", what, part.error().message));
}

RunStory read_story(const OpenRun& run, const ShowOptions& options) {
  RunStory story;
  store::RunReader& reader = *run.reader;
  story.meta.run_id = run.place.run_id;
  story.meta.project = run.place.project;
  story.meta.state = "unknown";
  take(story, story.meta, reader.meta(), "description");
  take(story, story.producers, reader.producers(), "ranks");
  take(story, story.config, reader.config(), "config");
  take(story, story.summary, reader.summary(), "summary");
  take(story, story.metrics, reader.metrics(), "metrics");
  take(story, story.rules, reader.rules(), "definitions of metrics");
  take(story, story.aggregates, reader.aggregates(), "ranks of metrics");
  take(story, story.sinks, reader.sinks(), "sinks");
  take(story, story.stats, reader.last_stats(), "system");
  take(story, story.rows, reader.row_count(), "rows");
  take(story, story.console,
       last_console_lines(reader, options.is_whole ? kConsoleLinesWhole : kConsoleLinesMax),
       "console");
  sort_producers(story.producers);
  for (const std::string& line : reader.damage()) story.notes.push_back("damaged: " + line);
  for (const store::ProducerState& producer : story.producers) {
    for (std::string& note : poison_notes(producer)) story.notes.push_back(std::move(note));
  }
  if (story.meta.state == "running" && !run.is_live) {
    story.notes.emplace_back(
        "no service has this run open: the state is the last one known, and what its processes "
        "committed since is stored when the next service starts (ringlog service start)");
  }
  if (auto service = run.is_live ? find_service() : nullptr) {
    auto live = query_runs(*service, run.place.run_id, false, kLiveWait);
    if (live && !live->empty()) story.live_sinks = std::move(live->front().sinks);
  }
  return story;
}

int64_t duration_ns(const store::RunMeta& meta) {
  return (meta.ended_ns != 0 ? meta.ended_ns : shm::realtime_ns()) - meta.created_ns;
}

// A sink as the store knows it, while no service sends to it.
struct StoredSink {
  std::string url;
  std::string state;
  uint64_t sent = 0;
  uint64_t lag = 0;
  std::string error;
};

// Of the description and of the watermarks; nothing while the service knows more.
std::vector<StoredSink> stored_sinks(const RunStory& story) {
  if (!story.live_sinks.empty()) return {};
  std::map<std::string, store::SinkState> states = story.sinks;
  for (const std::string& url : story.meta.sinks) states.try_emplace(url);
  uint64_t stored = 0;
  for (const store::ProducerState& producer : story.producers) stored += stored_rows(producer);
  std::vector<StoredSink> sinks;
  for (const auto& [url, state] : states) {
    const uint64_t done = std::min(stored, state.rows + state.left_out);
    StoredSink sink{url, done == stored ? "done" : "waiting", state.rows, stored - done, ""};
    if (state.left_out > 0) sink.error = std::to_string(state.left_out) + " left out";
    sinks.push_back(std::move(sink));
  }
  return sinks;
}

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

Json document_of(const OpenRun& run, const RunStory& story) {
  const store::RunMeta& meta = story.meta;
  Json json = {{"id", run.place.run_id}, {"name", meta.name},   {"project", run.place.project},
               {"group", meta.group},    {"tags", meta.tags},   {"notes", meta.notes},
               {"dir", run.place.dir},   {"state", meta.state}, {"live", run.is_live}};
  json["created"] = json_seconds(meta.created_ns);
  json["ended"] = json_seconds(meta.ended_ns);
  json["duration"] = static_cast<double>(duration_ns(meta)) / 1e9;
  json["host"] = meta.host;
  json["command"] = meta.command;
  json["version"] = meta.version;
  json["rows"] = story.rows;
  json["config"] = json_of(story.config);
  json["summary"] = json_of(story.summary);
  json["metrics"] = metrics_json(story.metrics, story.rules, story.aggregates);
  Json producers = Json::array();
  for (const auto& producer : story.producers) producers.push_back(json_of(producer));
  json["producers"] = std::move(producers);
  json["system"] = system_json(story.stats);
  json["sinks"] = sinks_json(story);
  Json console = Json::array();
  for (const ConsoleEntry& entry : story.console) console.push_back(json_of(entry));
  json["console"] = std::move(console);
  json["problems"] = story.notes;
  return json;
}

class ShowPage {
 public:
  ShowPage(Context& context, const ShowOptions& options, const OpenRun& run, const RunStory& story)
      : context_(context),
        lines_max_(options.is_whole ? SIZE_MAX : kSectionLinesMax),
        run_(run),
        story_(story) {}

  void print() {
    print_facts();
    print_ranks();
    print_tree("config", story_.config, false);
    print_tree("summary", story_.summary, true);
    print_metrics();
    print_system();
    print_sinks();
    print_console();
    for (const std::string& note : story_.notes) {
      if (&note == &story_.notes.front()) title("notes");
      context_.out.write("  " + paint(context_.style, Ink::kYellow, note) + "\n");
    }
  }

 private:
  void fact(std::string_view name, const std::string& value) {
    if (value.empty()) return;
    const std::string label = fmt::format("{:<10}", name);
    context_.out.write(paint(context_.style, Ink::kDim, label) + value + "\n");
  }
  void title(std::string_view text) {
    context_.out.write("\n" + paint(context_.style, Ink::kBold, text) + "\n");
  }
  void print_facts();
  void print_ranks();
  void print_tree(std::string_view name, const store::Tree& tree, bool is_rounded);
  void tree_lines(const store::Tree& tree, bool is_rounded, size_t depth,
                  std::vector<std::string>& lines) const;
  void print_metrics();
  void print_system();
  void print_sinks();
  void print_console();

  Context& context_;
  const size_t lines_max_;
  const OpenRun& run_;
  const RunStory& story_;
};

void ShowPage::print_facts() {
  const store::RunMeta& meta = story_.meta;
  std::string command;
  for (const std::string& word : meta.command) {
    command += (command.empty() ? "" : " ") + printable(word);
  }
  const int64_t now = shm::realtime_ns();
  fact("run", paint(context_.style, Ink::kBold, printable(run_.place.run_id)));
  fact("name", meta.name == run_.place.run_id ? "" : printable(meta.name));
  fact("project", printable(run_.place.project));
  fact("group", printable(meta.group));
  fact("tags", printable(fmt::format("{}", fmt::join(meta.tags, ", "))));
  fact("notes", printable(meta.notes));
  fact("state", paint(context_.style, state_ink(meta.state), printable(meta.state)));
  fact("rows", format_count(story_.rows));
  if (meta.created_ns != 0) {
    fact("created", format_time(meta.created_ns) + ", " + format_ago(now - meta.created_ns));
    fact("duration", format_duration(duration_ns(meta)));
  }
  fact("host", printable(meta.host));
  fact("command", command);
  fact("dir", printable(run_.place.dir));
}

void ShowPage::print_ranks() {
  if (story_.producers.empty()) return;
  title("ranks");
  constexpr auto kRight = Table::Align::kRight;
  Table table({{"RANK"},
               {"ATTEMPT", kRight},
               {"PID", kRight},
               {"STATE"},
               {"ROWS", kRight},
               {"DROPPED", kRight},
               {"DURATION", kRight}});
  for (const store::ProducerState& producer : story_.producers) {
    const uint64_t dropped = dropped_rows(producer);
    const int64_t end = producer.ended_ns != 0 ? producer.ended_ns : shm::realtime_ns();
    table.add({{producer_label(producer)},
               {std::to_string(producer.attempt)},
               {std::to_string(producer.pid)},
               {producer_state(producer), state_ink(producer.state)},
               {format_count(stored_rows(producer))},
               {format_count(dropped), dropped == 0 ? Ink::kPlain : Ink::kYellow},
               {format_duration(end - producer.started_ns)}});
  }
  context_.out.write(table.render(context_.style, 2));
  for (const store::ProducerState& producer : story_.producers) {
    if (producer.cause.empty()) continue;
    context_.out.write(fmt::format("  rank {} attempt {}: {}\n", producer_label(producer),
                                   producer.attempt, printable(producer.cause)));
  }
}

// One line a value, objects indented; recurses as deep as a logged value (record/limits.h).
void ShowPage::tree_lines(const store::Tree& tree, bool is_rounded, size_t depth,
                          std::vector<std::string>& lines) const {
  for (const auto& [key, item] : *tree.object()) {
    std::string line =
        std::string(2 * depth + 2, ' ') + paint(context_.style, Ink::kDim, printable(key) + ":");
    const store::Tree::Object* inner = item.object();
    if (inner != nullptr && !inner->empty()) {
      lines.push_back(std::move(line));
      tree_lines(item, is_rounded, depth + 1, lines);
      continue;
    }
    const double* number = std::get_if<double>(&item.value);
    std::string value;
    if (number != nullptr && is_rounded) {
      value = format_number(*number);
    } else if (const std::string* text = item.text()) {
      value = printable(*text);
    } else {
      store::append_json(value, item);
    }
    const size_t width = context_.style.is_terminal ? context_.style.width : kValueColumnsMax;
    const size_t used = 2 * depth + 4 + display_width(printable(key));
    lines.push_back(line + " " +
                    shorten(value, width > used ? width - used : 8, context_.style.is_ascii));
  }
}

void ShowPage::print_tree(std::string_view name, const store::Tree& tree, bool is_rounded) {
  if (tree.object() == nullptr || tree.object()->empty()) return;
  title(name);
  std::vector<std::string> lines;
  tree_lines(tree, is_rounded, 0, lines);
  for (size_t i = 0; i < lines.size() && i < lines_max_; ++i) context_.out.write(lines[i] + "\n");
  if (lines.size() <= lines_max_) return;
  context_.out.write(fmt::format("  and {} (--all shows them)\n",
                                 format_plural(lines.size() - lines_max_, "more line")));
}

void ShowPage::print_metrics() {
  const MetricsTable found = metrics_table(story_.metrics, story_.rules, story_.aggregates,
                                           lines_max_ == SIZE_MAX, lines_max_);
  if (found.title.empty()) return;
  title(found.title);
  context_.out.write(found.table.render(context_.style, 2));
  if (found.left_out == 0) return;
  context_.out.write(
      fmt::format("  and {} (--all shows them)\n", format_plural(found.left_out, "more line")));
}

void ShowPage::print_system() {
  if (story_.stats.empty()) return;
  const int64_t time_ns = story_.stats.times_ns.back();
  title("system, " + format_ago(shm::realtime_ns() - time_ns));
  std::vector<std::string> lines = system_lines(story_.stats, context_.style);
  for (size_t i = 0; i < lines.size() && i < lines_max_; ++i) context_.out.write(lines[i] + "\n");
  if (lines.size() <= lines_max_) return;
  context_.out.write(fmt::format("  and {} (--all shows them)\n",
                                 format_plural(lines.size() - lines_max_, "more line")));
}

void ShowPage::print_sinks() {
  if (story_.meta.sinks.empty() && story_.sinks.empty()) return;
  title("sinks");
  Table table({{"URL", Table::Align::kLeft, 20},
               {"STATE"},
               {"SENT", Table::Align::kRight},
               {"LAG", Table::Align::kRight},
               {"LAST ERROR", Table::Align::kLeft, 10}});
  for (const LiveSink& sink : story_.live_sinks) {
    table.add({{printable(sink.url)},
               {printable(sink.state)},
               {format_count(sink.sent_rows)},
               {format_count(sink.lag_rows)},
               {printable(sink.last_error)}});
  }
  for (const StoredSink& sink : stored_sinks(story_)) {
    table.add({{printable(sink.url)},
               {sink.state},
               {format_count(sink.sent)},
               {format_count(sink.lag)},
               {sink.error}});
  }
  context_.out.write(table.render(context_.style, 2));
}

void ShowPage::print_console() {
  if (story_.console.empty()) return;
  title("console, last lines");
  const ConsoleEntry& first = story_.console.front();
  const bool has_labels =
      std::any_of(story_.console.begin(), story_.console.end(),
                  [&](const ConsoleEntry& entry) { return entry.rank != first.rank; });
  for (const ConsoleEntry& entry : story_.console) {
    std::string line = has_labels ? fmt::format("  [rank{}] ", entry.rank) : "  ";
    line += printable(entry.line.text);
    if (context_.style.is_terminal) {
      line = shorten(line, context_.style.width, context_.style.is_ascii);
    }
    const Ink ink = entry.line.is_stderr ? Ink::kYellow : Ink::kPlain;
    context_.out.write(paint(context_.style, ink, line) + "\n");
  }
}

}  // namespace

int run_show(Context& context, const ShowOptions& options) {
  auto run = open_run(context, options.run);
  if (!run) return fail(run.error());
  const RunStory story = read_story(*run, options);
  if (context.is_json) {
    print_json(context, document_of(*run, story));
  } else {
    ShowPage(context, options, *run, story).print();
  }
  return kExitOk;
}

}  // namespace ringlog::cli
