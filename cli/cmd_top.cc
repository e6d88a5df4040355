// top: what moves in the service now: rings, rates, lag and sinks, again and again.
//
// One request an interval, and nothing in between.  On a terminal the page is drawn in place, else
// pages or JSON follow each other.  A service that ends is waited for; none is started.

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "cli/commands.h"
#include "cli/top_page.h"
#include "cli/top_screen.h"
#include "cli/top_watch.h"
#include "shm/posix.h"
#include "store/runs.h"

namespace ringlog::cli {

namespace {

struct OrderKey {
  char key;
  TopOrder order;
  std::string_view name;
};
constexpr std::array<OrderKey, 4> kOrderKeys = {{{'r', TopOrder::kRate, "rate"},
                                                 {'f', TopOrder::kFill, "fill"},
                                                 {'d', TopOrder::kDropped, "dropped"},
                                                 {'n', TopOrder::kRank, "rank"}}};

// "by rate; keys r rate, f fill, …".
std::string keys_help(TopOrder order) {
  std::string now;
  std::string keys;
  for (const OrderKey& item : kOrderKeys) {
    if (item.order == order) now = item.name;
    keys += fmt::format("{} {}, ", item.key, item.name);
  }
  return fmt::format("by {}; keys {}q quit", now, keys);
}

void take_key(char key, TopOrder& order) {
  for (const OrderKey& item : kOrderKeys) {
    if (item.key == key) order = item.order;
  }
}

// When to look: an interval apart, whatever a look takes; looks that were missed are left out.
class Pace {
 public:
  explicit Pace(double interval_s)
      : interval_ns_(std::llround(interval_s * 1e9)),
        next_ns_(shm::monotonic_ns() + interval_ns_) {}
  int64_t next_ns() const { return next_ns_; }
  void advance() {
    next_ns_ += interval_ns_;
    if (const int64_t late_ns = shm::monotonic_ns() - next_ns_; late_ns > 0) {
      next_ns_ += (late_ns / interval_ns_ + 1) * interval_ns_;
    }
  }

 private:
  const int64_t interval_ns_;
  int64_t next_ns_;
};

// False: nobody reads our output any more.
bool wait_until(int64_t deadline_ns) {
  for (;;) {
    const int64_t left_ns = deadline_ns - shm::monotonic_ns();
    if (left_ns <= 0) return true;
    pollfd entry{STDOUT_FILENO, 0, 0};
    const auto left_ms = static_cast<int>(std::min<int64_t>(left_ns / 1'000'000 + 1, 60'000));
    if (::poll(&entry, 1, left_ms) > 0) return false;
  }
}

// Pages, or JSON, one after another.
class Pages {
 public:
  Pages(Context& context, const TopOptions& options, TopWatch watch)
      : context_(context), options_(options), watch_(std::move(watch)) {}

  int print_all();

 private:
  bool print_next(bool is_first);

  Context& context_;
  const TopOptions& options_;
  TopWatch watch_;
  std::string said_;  // the last message
};

// False: there is no service to tell of.
bool Pages::print_next(bool is_first) {
  const Result<TopFrame> frame = watch_.look();
  const std::string why = frame ? "" : frame.error().message;
  if (!frame && std::exchange(said_, why) != why) say(why);
  if (frame) said_.clear();
  if (context_.is_json) {
    const Json document = top_json(frame ? &*frame : nullptr, why, shm::realtime_ns());
    context_.out.write(json_line(document));
  } else if (frame) {
    if (!is_first) context_.out.write("\n");
    for (const std::string& line : top_lines(&*frame, {}, context_.style)) {
      context_.out.write(line + "\n");
    }
  }
  context_.out.flush();
  return static_cast<bool>(frame);
}

int Pages::print_all() {
  const bool is_endless = options_.count == 0 && (context_.is_json || context_.style.is_terminal);
  const uint64_t count = std::max<uint64_t>(options_.count, 1);
  Pace pace(options_.interval_s);
  bool is_well = true;
  for (uint64_t i = 0; is_endless || i < count; ++i) {
    if (!wait_until(pace.next_ns()) || !context_.out.is_open()) break;
    is_well = print_next(i == 0);
    pace.advance();
  }
  return is_well ? kExitOk : kExitFailed;
}

// Draws in place until somebody ends it; the signal that did, 0: a key.
int watch_on_screen(Context& context, const TopOptions& options, TopWatch& watch, TopFrame first) {
  TopScreen screen(context.out);
  std::optional<TopFrame> frame = std::move(first);
  TopView view;
  Pace pace(options.interval_s);
  for (;;) {
    const Style style = detect_style(STDOUT_FILENO);
    view.lines_max = style.height;
    view.help = keys_help(view.order);
    screen.draw(top_lines(frame ? &*frame : nullptr, view, style));
    const TopScreen::Event event = screen.wait(pace.next_ns());
    if (event.kind == TopScreen::Event::Kind::kEnd || event.key == 'q') return event.signal;
    take_key(event.key, view.order);
    if (event.kind != TopScreen::Event::Kind::kTime) continue;
    Result<TopFrame> next = watch.look();
    view.notice = next ? "" : next.error().message + "; waiting";
    frame.reset();
    if (next) frame = *std::move(next);
    pace.advance();
  }
}

}  // namespace

int run_top(Context& context, const TopOptions& options) {
  std::string dir;
  if (!options.run.empty()) {
    auto place = store::resolve_run(context.root, options.run);
    if (!place) return fail(place.take_error().in("top"));
    dir = place->dir;
  }
  TopWatch watch(std::move(dir));
  auto first = watch.look();
  if (!first) return fail(first.take_error().in("top"));
  if (context.is_json || options.count > 0 || !context.style.has_cursor) {
    return Pages(context, options, std::move(watch)).print_all();
  }
  const int signal = watch_on_screen(context, options, watch, *std::move(first));
  // The terminal is as it was; whoever sent it sees that it worked.
  if (signal != 0) ::raise(signal);
  return kExitOk;
}

}  // namespace ringlog::cli
