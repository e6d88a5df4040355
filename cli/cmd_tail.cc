// tail: the newest rows, and with -f those that come.

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "cli/commands.h"
#include "shm/posix.h"
#include "store/row_json.h"

namespace ringlog::cli {

namespace {

// How often the store is looked at again at most: a look costs some milliseconds.
constexpr int kPauseMs = 250;
// And at least, because not every filesystem tells of changes.
constexpr int kPauseMaxMs = 1000;
// Rows that are put in order of time together; bounds the memory of a reader that fell behind.
constexpr size_t kBatchRowsMax = 65536;

class Tail {
 public:
  Tail(Context& context, const TailOptions& options, OpenRun run)
      : context_(context), options_(options), run_(std::move(run)) {}

  int print();

 private:
  struct TimedRow {
    int64_t time_ns;
    std::string text;
  };
  Status print_rows(store::RowFilter filter, size_t count_max);
  void print_batch(std::vector<TimedRow>& rows, size_t count_max);
  Status follow();
  bool has_ended();
  bool wait(int watch);

  Context& context_;
  const TailOptions& options_;
  OpenRun run_;
  store::RowJson row_json_;
  store::Cursors seen_;
};

// Rows that pass the filter, in order of their time; the newest `count_max` of them.
Status Tail::print_rows(store::RowFilter filter, size_t count_max) {
  filter.ranks = options_.ranks;
  std::vector<TimedRow> rows;
  Status written = Done{};
  const auto visited = run_.reader->for_each_row(filter, [&](const store::RowView& row) {
    rows.push_back({row.time_ns(), {}});
    written = row_json_.append(row, rows.back().text);
    if (!written) return false;
    if (rows.size() == kBatchRowsMax && count_max == SIZE_MAX) print_batch(rows, count_max);
    return context_.out.is_open();
  });
  print_batch(rows, count_max);
  context_.out.flush();
  if (!written) return written;
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

bool Tail::has_ended() {
  const auto meta = run_.reader->meta();
  return meta && meta->ended_ns != 0;
}

// Sleeps until the store changes, in steps; false when nobody reads our output any more.
bool Tail::wait(int watch) {
  std::array<pollfd, 2> entries = {{{STDOUT_FILENO, 0, 0}, {watch, POLLIN, 0}}};
  // The pause comes first, so that a busy run is looked at four times a second, not always.
  if (::poll(entries.data(), 1, kPauseMs) > 0) return false;
  if (::poll(entries.data(), entries.size(), kPauseMaxMs - kPauseMs) > 0) {
    // What the events say does not matter; the store tells what is new.
    std::array<char, 4096> events;
    while (::read(watch, events.data(), events.size()) > 0) {
    }
  }
  return entries[0].revents == 0;
}

Status Tail::follow() {
  const shm::Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  const std::string store_dir = run_.place.dir + "/store";
  // Without a watch (too many of them) the timed looks remain.
  if (watch) ::inotify_add_watch(watch.get(), store_dir.c_str(), IN_MODIFY | IN_CREATE);
  while (!has_ended() && context_.out.is_open() && wait(watch.get())) {
    if (Status s = run_.reader->refresh(); !s) return s;
    auto ends = run_.reader->ends();
    if (!ends) return ends.take_error();
    if (*ends == seen_) continue;
    store::RowFilter filter;
    filter.from = std::exchange(seen_, *std::move(ends));
    if (Status s = print_rows(std::move(filter), SIZE_MAX); !s) return s;
  }
  return Done{};
}

int Tail::print() {
  auto ends = run_.reader->ends();
  if (!ends) return fail(ends.error());
  seen_ = *std::move(ends);
  store::RowFilter filter;
  for (const auto& [lane, end] : seen_) {
    filter.from[lane] = end - std::min<uint64_t>(end, options_.row_count);
  }
  if (Status s = print_rows(std::move(filter), options_.row_count); !s) return fail(s.error());
  if (!options_.is_following) return kExitOk;
  if (Status s = follow(); !s) return fail(s.error());
  return kExitOk;
}

}  // namespace

int run_tail(Context& context, const TailOptions& options) {
  auto run = open_run(context, options.run);
  if (!run) return fail(run.error());
  return Tail(context, options, *std::move(run)).print();
}

}  // namespace ringlog::cli
