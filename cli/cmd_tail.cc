// tail: the newest rows or lines of the console, and with -f those that come.

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/store_watch.h"
#include "reader/access.h"

namespace ringlog::cli {

namespace {

// Rows that are put in order of time together; bounds the memory of a reader that fell behind.
constexpr size_t kBatchRowsMax = 65536;

bool has_ended(RunReader& run) {
  const auto about = run.description();
  return about && about->ended_ns != 0;
}

class Tail {
 public:
  Tail(Context& context, const TailOptions& options, RunReader run)
      : context_(context),
        options_(options),
        run_(std::move(run)),
        said_(run_.damage().begin(), run_.damage().end()) {}

  int print();

 private:
  struct TimedRow {
    int64_t time_ns;
    std::string text;
  };
  Status print_rows(ReadPosition after, size_t count_max);
  void print_batch(std::vector<TimedRow>& rows, size_t count_max);
  Status follow();
  // Of what the last look could not read, what no look before told of.
  void say_new_damage();

  Context& context_;
  const TailOptions& options_;
  RunReader run_;
  std::set<std::string> said_;
  ReadPosition seen_;
};

// Rows behind a position, in order of their time; the newest `count_max` of them.
Status Tail::print_rows(ReadPosition after, size_t count_max) {
  const TableRequest request{.ranks = options_.ranks, .after = std::move(after)};
  std::vector<TimedRow> rows;
  const auto visited = run_.for_each_row(RowFormat::kJson, request, [&](const RowText& row) {
    rows.push_back({row.time_ns, std::string(row.text)});
    if (rows.size() == kBatchRowsMax && count_max == SIZE_MAX) print_batch(rows, count_max);
    return context_.out.is_open();
  });
  print_batch(rows, count_max);
  context_.out.flush();
  if (!visited) return visited.error();
  return Done{};
}

void Tail::print_batch(std::vector<TimedRow>& rows, size_t count_max) {
  std::stable_sort(rows.begin(), rows.end(),
                   [](const TimedRow& a, const TimedRow& b) { return a.time_ns < b.time_ns; });
  const size_t begin = rows.size() - std::min(rows.size(), count_max);
  for (size_t i = begin; i < rows.size(); ++i) {
    rows[i].text += '\n';
    context_.out.write(rows[i].text);
  }
  rows.clear();
}

Status Tail::follow() {
  auto about = run_.description();
  if (!about) return about.take_error();
  StoreWatch watch(about->dir);
  while (!has_ended(run_) && context_.out.is_open() && watch.wait()) {
    if (Status s = run_.refresh(); !s) return s;
    auto end = run_.end();
    if (!end) return end.take_error();
    say_new_damage();
    if (Status s = print_rows(std::exchange(seen_, *std::move(end)), SIZE_MAX); !s) return s;
  }
  return Done{};
}

void Tail::say_new_damage() {
  for (const std::string& line : run_.damage()) {
    if (said_.insert(line).second) say("warning: " + line);
  }
}

int Tail::print() {
  auto begin = run_.end(options_.row_count);
  if (!begin) return fail(begin.error());
  say_new_damage();
  auto end = run_.end();
  if (!end) return fail(end.error());
  seen_ = *std::move(end);
  if (Status s = print_rows(*std::move(begin), options_.row_count); !s) return fail(s.error());
  if (!options_.is_following) return kExitOk;
  if (Status s = follow(); !s) return fail(s.error());
  return kExitOk;
}

class ConsoleTail {
 public:
  ConsoleTail(Context& context, const TailOptions& options, RunReader run)
      : context_(context),
        options_(options),
        run_(std::move(run)),
        // Somebody who follows wants each line when it ends.
        console_(ReaderAccess::store(run_), options.ranks,
                 options.is_following ? 0 : formats::kConsoleHeldLines) {}

  Status print();

 private:
  void write(const ConsoleEntry& entry);
  Status follow();

  Context& context_;
  const TailOptions& options_;
  RunReader run_;
  Console console_;
};

void ConsoleTail::write(const ConsoleEntry& entry) {
  if (context_.is_json) return context_.out.write(json_line(json_of(entry)));
  const std::string label = console_.label(entry);
  const Ink ink = entry.line.is_stderr ? Ink::kYellow : Ink::kPlain;
  context_.out.write(paint(context_.style, Ink::kDim, label) +
                     paint(context_.style, ink, entry.line.text) + "\n");
}

Status ConsoleTail::follow() {
  const auto print_line = [&](const ConsoleEntry& entry) { write(entry); };
  auto about = run_.description();
  if (!about) return about.take_error();
  StoreWatch watch(about->dir);
  for (bool is_last = false; !is_last;) {
    context_.out.flush();
    is_last = has_ended(run_);
    if (!is_last && (!context_.out.is_open() || !watch.wait())) return Done{};
    if (Status s = run_.refresh(); !s) return s;
    if (Status s = console_.read(print_line); !s) return s;
  }
  console_.finish(print_line);
  context_.out.flush();
  return Done{};
}

Status ConsoleTail::print() {
  auto entries = console_.read_last(options_.row_count, !options_.is_following);
  if (!entries) return entries.take_error();
  for (const ConsoleEntry& entry : *entries) write(entry);
  if (options_.is_following) return follow();
  context_.out.flush();
  return Done{};
}

}  // namespace

int run_tail(Context& context, const TailOptions& options) {
  auto run = open_run(context, options.run);
  if (!run) return fail(run.error());
  if (!options.is_console) return Tail(context, options, *std::move(run)).print();
  const Status printed = ConsoleTail(context, options, *std::move(run)).print();
  return printed ? kExitOk : fail(printed.error());
}

}  // namespace ringlog::cli
