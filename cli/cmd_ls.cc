// ls: the runs under the root folder, the one written last first.

#include <optional>
#include <set>
#include <utility>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/processes.h"
#include "cli/service.h"
#include "cli/table.h"
#include "shm/posix.h"
#include "store/runs.h"

namespace ringlog::cli {

namespace {

struct Line {
  store::RunPlace place;
  RunDescription about;
  uint64_t ranks = 0;
  uint64_t rows = 0;
  bool is_live = false;  // the service has it open
};

// Ids of the runs that the service has open, everything committed to them stored.
std::set<std::string> live_runs() {
  std::set<std::string> ids;
  const auto service = find_service();
  if (!service) return ids;
  auto runs = query_runs(*service, "", true, kBarrierWait);
  if (!runs) return ids;
  for (LiveRun& run : *runs) ids.insert(std::move(run.run_id));
  return ids;
}

// What one run's store says.  A run that cannot be read still has its line; one that its service
// died over before it was there has none.
std::optional<Line> read_line(const store::RunPlace& place, bool is_live) {
  Line line{place, {}, 0, 0, is_live};
  line.about.state = "unreadable";
  auto run = open(place.dir, {.asks_service = false});
  if (!run) {
    if (run.error().code == Code::kNotFound) return std::nullopt;
    say(run.error().message);
    return line;
  }
  if (auto about = run->description(); about && !about->state.empty()) {
    line.about = *std::move(about);
  }
  if (auto processes = run->processes()) line.ranks = rank_count(*processes);
  if (auto rows = run->row_count()) line.rows = *rows;
  return line;
}

// A run that nobody writes although it never ended: its service died and none has come since.
std::string state_text(const Line& line) {
  const bool is_orphan = line.about.state == "running" && !line.is_live;
  return printable(line.about.state) + (is_orphan ? "?" : "");
}

Json document_of_lines(const std::vector<Line>& lines) {
  Json runs = Json::array();
  for (const Line& line : lines) {
    runs.push_back({{"id", line.place.run_id},
                    {"name", line.about.name},
                    {"project", line.place.project},
                    {"dir", line.place.dir},
                    {"state", line.about.state},
                    {"live", line.is_live},
                    {"ranks", line.ranks},
                    {"rows", line.rows},
                    {"created", json_seconds(line.about.created_ns)},
                    {"ended", json_seconds(line.about.ended_ns)},
                    {"written", json_seconds(line.place.mtime_ns)}});
  }
  return runs;
}

std::string table_of_lines(const std::vector<Line>& lines, const Style& style) {
  constexpr auto kRight = Table::Align::kRight;
  Table table({{"ID", Table::Align::kLeft, 16},
               {"PROJECT", Table::Align::kLeft, 8},
               {"STATE"},
               {"RANKS", kRight},
               {"ROWS", kRight},
               {"AGE", kRight}});
  const int64_t now = shm::realtime_ns();
  for (const Line& line : lines) {
    table.add({{printable(line.place.run_id)},
               {printable(line.place.project)},
               {state_text(line), state_ink(line.about.state)},
               {format_count(line.ranks)},
               {format_count(line.rows)},
               {format_age(now - line.place.mtime_ns)}});
  }
  return table.render(style);
}

}  // namespace

int run_ls(Context& context, const LsOptions& options) {
  // First the service, so that what it had not stored yet is on disk before we look.
  const std::set<std::string> live = live_runs();
  auto places = store::find_runs(context.root);
  if (!places) return fail(places.error());
  std::vector<Line> lines;
  for (const store::RunPlace& place : *places) {
    if (options.count_max != 0 && lines.size() == options.count_max) break;
    if (auto line = read_line(place, live.contains(place.run_id))) lines.push_back(*line);
  }
  if (context.is_json) {
    print_json(context, document_of_lines(lines));
  } else if (lines.empty()) {
    say("no runs in " + printable(context.root));
  } else {
    context.out.write(table_of_lines(lines, context.style));
  }
  return kExitOk;
}

}  // namespace ringlog::cli
