#include "cli/top_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>

#include "cli/format.h"
#include "cli/processes.h"
#include "cli/table.h"
#include "shm/posix.h"

namespace ringlog::cli {

namespace {

constexpr auto kRight = Table::Align::kRight;
// From these parts of its room on a ring is worth a look, and soon full.
constexpr double kFillHigh = 0.5;
constexpr double kFillFull = 0.9;
// What waits for the store or a sink for longer than this is worth a look, milliseconds.
constexpr uint64_t kLagHighMs = 1'000;

// Slow loggers have tenths.
std::string rate_text(const Rate& rate) {
  if (!rate) return "-";
  if (*rate == 0) return "0";
  if (*rate < 9.95) return fmt::format("{:.1f}", *rate);
  return format_count(static_cast<uint64_t>(std::llround(*rate)));
}

std::string lag_text(uint64_t lag_ms) {
  return lag_ms == 0 ? "0 s" : format_duration(static_cast<int64_t>(lag_ms) * 1'000'000);
}

Ink alarm(bool is_bad, Ink ink = Ink::kYellow) { return is_bad ? ink : Ink::kPlain; }

Ink fill_ink(double fill) {
  if (fill >= kFillFull) return Ink::kRed;
  return alarm(fill >= kFillHigh);
}

Ink sink_ink(const std::string& state) {
  if (state == "good") return Ink::kGreen;
  return alarm(true, state == "refused" ? Ink::kRed : Ink::kYellow);
}

// "97 0!": each ring in percent, with a mark those that are not read any more.
std::string fill_text(const ProducerGauges& producer) {
  std::string text;
  for (const RingGauges& ring : producer.rings) {
    if (!text.empty()) text += ' ';
    text += std::to_string(ring.capacity == 0 ? 0 : 100 * ring.used_bytes / ring.capacity);
    if (ring.is_poisoned) text += '!';
  }
  return text;
}

std::string label_of(const ProducerGauges& producer) {
  ProcessDescription process;
  process.rank = producer.rank;
  process.worker = producer.worker;
  return process_label(process);
}

// The first of something, of which there are more.
struct Shown {
  Table table;
  size_t left_out = 0;
};

class Page {
 public:
  Page(const TopView& view, const Style& style) : view_(view), style_(style) {}

  std::vector<std::string> draw(const TopFrame* frame);

 private:
  void add(std::string line) { lines_.push_back(std::move(line)); }
  void add(const Shown& shown, std::string_view nouns);
  size_t third() const { return std::max<size_t>(view_.lines_max / 3, 4) - 3; }
  void add_service(const TopFrame& frame);
  Shown runs_of(const TopFrame& frame) const;
  Shown sinks_of(const TopFrame& frame) const;
  Shown producers_of(const TopFrame& frame, size_t count_max) const;

  const TopView& view_;
  const Style& style_;
  std::vector<std::string> lines_;
};

// A blank line, the table, what is left out.
void Page::add(const Shown& shown, std::string_view nouns) {
  if (shown.table.empty() && shown.left_out == 0) return;
  add("");
  const std::string text = shown.table.render(style_);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    add(text.substr(begin, end - begin));
    begin = end + 1;
  }
  if (shown.left_out > 0) add(fmt::format("and {} more {}", format_count(shown.left_out), nouns));
}

void Page::add_service(const TopFrame& frame) {
  const Gauges& now = frame.now;
  add(fmt::format("ringlogd {}, pid {}, up {}, CPU {}, memory {}, {}",
                  paint(style_, Ink::kBold, printable(now.version)), now.pid,
                  format_duration(shm::realtime_ns() - now.started_ns),
                  frame.cpu ? fmt::format("{:.1f} %", 100 * *frame.cpu) : "-",
                  format_bytes(now.memory_bytes), format_plural(now.threads, "thread")));
  uint64_t live = 0;
  for (const TopRun& run : frame.runs) live += run.now.live;
  std::string line = fmt::format("{}, {}", format_plural(frame.runs.size(), "run"),
                                 live == 1 ? "1 process" : format_count(live) + " processes");
  if (!view_.help.empty()) line += "; " + paint(style_, Ink::kDim, view_.help);
  add(std::move(line));
  if (now.is_sinks_unknown) {
    add(paint(style_, Ink::kYellow, "the service is too busy to say how its sinks are"));
  }
}

Shown Page::runs_of(const TopFrame& frame) const {
  Shown shown{Table({{"RUN", Table::Align::kLeft, 6},
                     {"PROJECT", Table::Align::kLeft, 4},
                     {"STATE"},
                     {"LIVE", kRight},
                     {"LOGGED/S", kRight},
                     {"STORED/S", kRight},
                     {"BACKLOG", kRight},
                     {"LAG", kRight},
                     {"DROPPED", kRight}})};
  std::vector<const TopRun*> runs;
  for (const TopRun& run : frame.runs) runs.push_back(&run);
  std::stable_sort(runs.begin(), runs.end(), [](const TopRun* a, const TopRun* b) {
    return a->logged.value_or(0) > b->logged.value_or(0);
  });
  const size_t count = std::min({runs.size(), third(), kTopRunsMax});
  for (const TopRun* run : std::span(runs).first(count)) {
    const RunGauges& now = run->now;
    shown.table.add({{printable(now.run_id)},
                     {printable(now.project)},
                     {printable(now.state), state_ink(now.state)},
                     {format_count(now.live)},
                     {rate_text(run->logged)},
                     {rate_text(run->stored)},
                     {format_bytes(now.backlog_bytes)},
                     {lag_text(now.lag_ms), alarm(now.lag_ms > kLagHighMs)},
                     {format_count(now.dropped), alarm(run->dropped.value_or(0) > 0, Ink::kRed)}});
  }
  shown.left_out = runs.size() - count;
  return shown;
}

Shown Page::sinks_of(const TopFrame& frame) const {
  Shown shown{Table({{"SINK", Table::Align::kLeft, 10},
                     {"RUN", Table::Align::kLeft, 6},
                     {"STATE"},
                     {"SENT", kRight},
                     {"SENT/S", kRight},
                     {"LAG", kRight},
                     {"BEHIND", kRight},
                     {"LAST ERROR", Table::Align::kLeft, 10}})};
  size_t count = 0;
  for (const TopRun& run : frame.runs) {
    for (const TopSink& sink : run.sinks) {
      if (++count > std::min(third(), kTopRunsMax)) {
        ++shown.left_out;
        continue;
      }
      const LiveSink& now = sink.now;
      shown.table.add({{printable(now.url)},
                       {frame.runs.size() > 1 ? printable(run.now.run_id) : ""},
                       {printable(now.state), sink_ink(now.state)},
                       {format_count(now.sent_rows)},
                       {rate_text(sink.sent)},
                       {format_count(now.lag_rows)},
                       {lag_text(now.lag_ms)},
                       {printable(now.last_error)}});
    }
  }
  shown.left_out += frame.now.sinks_left_out;
  return shown;
}

Shown Page::producers_of(const TopFrame& frame, size_t count_max) const {
  Shown shown{Table({{"RANK"},
                     {"ATTEMPT", kRight},
                     {"PID", kRight},
                     {"RUN", Table::Align::kLeft, 6},
                     {"FILL %"},
                     {"LOGGED/S", kRight},
                     {"DROPPED", kRight},
                     {"DROPPED/S", kRight},
                     {"WAITS"}})};
  const std::vector<TopEntry> entries = order_producers(frame, view_.order);
  const size_t count = std::min(entries.size(), count_max);
  for (const TopEntry& entry : std::span(entries).first(count)) {
    const TopProducer& producer = *entry.producer;
    const Ink dropping = alarm(producer.dropped.value_or(0) > 0, Ink::kRed);
    shown.table.add({{label_of(producer.now)},
                     {std::to_string(producer.now.attempt)},
                     {std::to_string(producer.now.pid)},
                     {frame.runs.size() > 1 ? printable(entry.run->now.run_id) : ""},
                     {fill_text(producer.now), fill_ink(producer.fill())},
                     {rate_text(producer.logged)},
                     {format_count(producer.now.dropped), dropping},
                     {rate_text(producer.dropped), dropping},
                     {producer.now.is_waiting ? "yes" : "", Ink::kRed}});
  }
  shown.left_out = entries.size() - count;
  for (const TopRun& run : frame.runs) shown.left_out += run.now.producers_left_out;
  return shown;
}

std::vector<std::string> Page::draw(const TopFrame* frame) {
  if (frame != nullptr) add_service(*frame);
  if (!view_.notice.empty()) add(paint(style_, Ink::kYellow, printable(view_.notice)));
  if (frame == nullptr && !view_.help.empty()) add(paint(style_, Ink::kDim, view_.help));
  if (frame != nullptr) {
    add(runs_of(*frame), "runs");
    for (const TopRun& run : frame->runs) {
      if (run.now.store_error.empty()) continue;
      add(paint(style_, Ink::kRed,
                fmt::format("run {}: the store cannot be written: {}", printable(run.now.run_id),
                            printable(run.now.store_error))));
    }
    add(sinks_of(*frame), "sinks");
    // The table's head and the line that says how many are left out.
    constexpr size_t kAround = 3;
    const size_t used = lines_.size() + kAround;
    const size_t room = view_.lines_max > used ? view_.lines_max - used : 1;
    add(producers_of(*frame, std::min(room, kTopProcessesMax)), "processes");
  }
  if (lines_.size() > view_.lines_max) lines_.resize(view_.lines_max);
  if (style_.is_terminal) {
    for (std::string& line : lines_) line = clip(line, style_.width);
  }
  return std::move(lines_);
}

}  // namespace

std::vector<std::string> top_lines(const TopFrame* frame, const TopView& view, const Style& style) {
  return Page(view, style).draw(frame);
}

}  // namespace ringlog::cli
