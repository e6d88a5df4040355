// show: everything about one run but its rows.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <utility>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/run_story.h"
#include "cli/table.h"
#include "client/run_core.h"
#include "shm/posix.h"
#include "store/row_json.h"

namespace ringlog::cli {

namespace {

// Lines of config, of summary and of metrics before the rest is only counted.
constexpr size_t kSectionLinesMax = 24;
// Columns of a line of config or summary where there is no terminal.
constexpr size_t kValueColumnsMax = 200;

class ShowPage {
 public:
  ShowPage(Context& context, const ShowOptions& options, const RunStory& story)
      : context_(context),
        is_whole_(options.is_whole),
        lines_max_(options.is_whole ? SIZE_MAX : kSectionLinesMax),
        story_(story) {}

  void print() {
    print_facts();
    print_settings();
    print_ranks();
    print_tree("config", story_.config, false);
    print_tree("summary", story_.summary, true);
    print_metrics();
    print_system();
    print_sinks();
    print_files();
    print_alerts();
    print_console();
    for (const std::string& note : story_.notes) {
      if (&note == &story_.notes.front()) title("notes");
      context_.out.write("  " + paint(context_.style, Ink::kYellow, note) + "\n");
    }
  }

 private:
  void fact(std::string_view name, const std::string& value) {
    if (value.empty()) return;
    const std::string label = fmt::format("{:<11}", name);
    context_.out.write(paint(context_.style, Ink::kDim, label) + value + "\n");
  }
  void title(std::string_view text) {
    context_.out.write("\n" + paint(context_.style, Ink::kBold, text) + "\n");
  }
  void print_left_out(size_t lines) {
    if (lines == 0) return;
    context_.out.write(
        fmt::format("  and {} (--all shows them)\n", format_plural(lines, "more line")));
  }
  void print_lines(const std::vector<std::string>& lines) {
    const size_t shown = std::min(lines.size(), lines_max_);
    for (size_t i = 0; i < shown; ++i) context_.out.write(lines[i] + "\n");
    print_left_out(lines.size() - shown);
  }
  void print_facts();
  void print_settings();
  void print_ranks();
  void print_tree(std::string_view name, const Tree& tree, bool is_rounded);
  void tree_lines(const Tree& tree, bool is_rounded, size_t depth,
                  std::vector<std::string>& lines) const;
  void print_metrics();
  void print_system();
  void print_sinks();
  void print_files();
  void print_alerts();
  void print_console();

  Context& context_;
  const bool is_whole_;
  const size_t lines_max_;
  const RunStory& story_;
};

void ShowPage::print_facts() {
  const RunDescription& about = story_.about;
  std::string command;
  for (const std::string& word : about.command) {
    command += (command.empty() ? "" : " ") + printable(word);
  }
  const int64_t now = shm::realtime_ns();
  fact("run", paint(context_.style, Ink::kBold, printable(about.id)));
  fact("name", about.name == about.id ? "" : printable(about.name));
  fact("project", printable(about.project));
  fact("group", printable(about.group));
  fact("tags", printable(fmt::format("{}", fmt::join(about.tags, ", "))));
  fact("notes", printable(about.notes));
  fact("state", paint(context_.style, state_ink(about.state), printable(about.state)));
  fact("rows", format_count(story_.rows));
  if (about.created_ns != 0) {
    fact("created", format_time(about.created_ns) + ", " + format_ago(now - about.created_ns));
    fact("duration", format_duration(duration_ns(about)));
  }
  fact("host", printable(about.host));
  fact("command", command);
  fact("dir", printable(about.dir));
  if (const ProcessEntry* const main = main_process(story_.surroundings)) {
    for (const auto& [name, value] : surrounding_lines(*main, about.dir)) {
      fact(name, printable(value));
    }
  }
}

// Where each setting came from; all of them with --all.
void ShowPage::print_settings() {
  const ProcessEntry* const main = main_process(story_.surroundings);
  if (main == nullptr) return;
  const auto settings = is_whole_ ? main->facts.settings : chosen_settings(*main);
  if (settings.empty()) return;
  title("settings");
  Table table({{"NAME"}, {"VALUE", Table::Align::kLeft, 20}, {"FROM"}});
  for (const record::SettingFact& setting : settings) {
    table.add({{setting.name}, {printable(setting.value)}, {printable(setting.origin)}});
  }
  context_.out.write(table.render(context_.style, 2));
}

// Whether a process is one of many that need no line of their own: a forked child that ended well.
bool is_uneventful(const ProcessDescription& process) {
  return process.worker > 0 && process.worker < client::kExecWorker &&
         process.state == "finished" && process.dropped == 0 && process.cause.empty();
}

// Forked children of one rank's attempt that stand in one line: [first, end) of the processes.
struct WorkerGroup {
  std::string label;
  uint64_t rows = 0;
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
};

WorkerGroup group_of(std::span<const ProcessDescription> workers) {
  const ProcessDescription& first = workers.front();
  WorkerGroup group{fmt::format("{} w{}-{}", first.rank, first.worker, workers.back().worker), 0,
                    first.started_ns, first.ended_ns};
  for (const ProcessDescription& worker : workers) {
    group.rows += worker.rows;
    group.begin_ns = std::min(group.begin_ns, worker.started_ns);
    group.end_ns = std::max(group.end_ns, worker.ended_ns);
  }
  return group;
}

// How many processes from the first on are such children with numbers next to each other.
size_t group_size(std::span<const ProcessDescription> processes) {
  size_t size = 0;
  while (size < processes.size() && is_uneventful(processes[size]) &&
         processes[size].rank == processes[0].rank &&
         processes[size].attempt == processes[0].attempt &&
         processes[size].worker == processes[0].worker + size) {
    ++size;
  }
  return size;
}

void ShowPage::print_ranks() {
  if (story_.processes.empty()) return;
  const std::vector<int32_t> absent = absent_ranks(story_.processes);
  title(absent.empty() ? "ranks"
                       : fmt::format("ranks (late, or on another machine: {})",
                                     shorten(fmt::format("{}", fmt::join(absent, ", ")), 60,
                                             context_.style.is_ascii)));
  constexpr auto kRight = Table::Align::kRight;
  Table table({{"RANK"},
               {"ATTEMPT", kRight},
               {"PID", kRight},
               {"STATE"},
               {"ROWS", kRight},
               {"DROPPED", kRight},
               {"DURATION", kRight}});
  const std::span<const ProcessDescription> all(story_.processes);
  for (size_t i = 0; i < all.size(); ++i) {
    const ProcessDescription& process = all[i];
    if (const size_t size = group_size(all.subspan(i)); size > 1 && !is_whole_) {
      const WorkerGroup group = group_of(all.subspan(i, size));
      table.add({{group.label},
                 {std::to_string(process.attempt)},
                 {""},
                 {"finished", state_ink("finished")},
                 {format_count(group.rows)},
                 {"0"},
                 {format_duration(group.end_ns - group.begin_ns)}});
      i += size - 1;
      continue;
    }
    const uint64_t dropped = process.dropped;
    const int64_t end = process.ended_ns != 0 ? process.ended_ns : shm::realtime_ns();
    table.add({{process_label(process)},
               {std::to_string(process.attempt)},
               {std::to_string(process.pid)},
               {process_state(process), state_ink(process.state)},
               {format_count(process.rows)},
               {format_count(dropped), dropped == 0 ? Ink::kPlain : Ink::kYellow},
               {format_duration(end - process.started_ns)}});
  }
  context_.out.write(table.render(context_.style, 2));
  for (const ProcessDescription& process : story_.processes) {
    if (process.cause.empty()) continue;
    context_.out.write(fmt::format("  rank {} attempt {}: {}\n", process_label(process),
                                   process.attempt, printable(process.cause)));
  }
}

// One line a value, objects indented; recurses as deep as a logged value (record/limits.h).
void ShowPage::tree_lines(const Tree& tree, bool is_rounded, size_t depth,
                          std::vector<std::string>& lines) const {
  for (const auto& [key, item] : *tree.object()) {
    std::string line =
        std::string(2 * depth + 2, ' ') + paint(context_.style, Ink::kDim, printable(key) + ":");
    const Tree::Object* inner = item.object();
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

void ShowPage::print_tree(std::string_view name, const Tree& tree, bool is_rounded) {
  if (tree.object() == nullptr || tree.object()->empty()) return;
  title(name);
  std::vector<std::string> lines;
  tree_lines(tree, is_rounded, 0, lines);
  print_lines(lines);
}

void ShowPage::print_metrics() {
  const MetricsTable found = metrics_table(story_.metrics, story_.rules, story_.aggregates,
                                           lines_max_ == SIZE_MAX, lines_max_);
  if (found.title.empty()) return;
  title(found.title);
  context_.out.write(found.table.render(context_.style, 2));
  print_left_out(found.left_out);
}

void ShowPage::print_system() {
  if (story_.stats.empty()) return;
  const int64_t time_ns = story_.stats.times_ns.back();
  title("system, " + format_ago(shm::realtime_ns() - time_ns));
  std::vector<std::string> lines = system_lines(story_.stats, context_.style);
  print_lines(lines);
}

void ShowPage::print_sinks() {
  if (story_.about.sinks.empty()) return;
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

void ShowPage::print_alerts() {
  const Alerts& alerts = story_.alerts;
  if (alerts.count == 0) return;
  title(alerts.last.size() == alerts.count
            ? "alerts"
            : fmt::format("alerts, the last {} of {}", alerts.last.size(),
                          format_count(alerts.count)));
  context_.out.write(alerts_table(alerts).render(context_.style, 2));
}

void ShowPage::print_files() {
  const FilesTable found = files_table(story_.files, lines_max_);
  if (found.title.empty()) return;
  title(found.title);
  context_.out.write(found.table.render(context_.style, 2));
  print_left_out(found.left_out);
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
  auto about = run->description();
  if (!about) return fail(about.error());
  const RunStory story = read_story(*run, *std::move(about), options);
  if (context.is_json) {
    print_json(context, document_of(story));
  } else {
    ShowPage(context, options, story).print();
  }
  return kExitOk;
}

}  // namespace ringlog::cli
