#include "daemon/network.h"

#include "daemon/log.h"
#include "daemon/names.h"
#include "daemon/port.h"
#include "daemon/stream.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace ringlog::service {

namespace {

// Longer waits gain nothing.
constexpr int64_t kWaitMaxMs = 60'000;

// ServiceWords::network_state.
enum : uint32_t { kUnknown = 0, kGood = 1, kRetrying = 2, kRefused = 3 };

}  // namespace

void Network::add(std::shared_ptr<Stream> stream, const std::vector<std::string>& urls) {
  if (urls.empty()) return;
  stream->has_sinks.store(true, std::memory_order_relaxed);
  queue_.post([this, stream = std::move(stream), urls] { add_sinks(stream, urls, std::nullopt); });
}

void Network::borrow(std::shared_ptr<Stream> stream, const std::vector<std::string>& urls,
                     uint64_t borrower) {
  stream->has_sinks.store(true, std::memory_order_relaxed);
  queue_.post(
      [this, stream = std::move(stream), urls, borrower] { add_sinks(stream, urls, borrower); });
}

void Network::add_sinks(const std::shared_ptr<Stream>& stream, const std::vector<std::string>& urls,
                        std::optional<uint64_t> borrower) {
  Line& line = lines_[stream.get()];
  line.stream = stream;
  for (const std::string& url : urls) {
    const std::string name = without_credentials(url);
    const auto known =
        std::find_if(line.senders.begin(), line.senders.end(),
                     [&](const auto& sender) { return sender->status().url == name; });
    const bool is_kept = known != line.senders.end() && !line.borrowed.contains(known->get());
    std::set<uint64_t> borrowers;
    if (known != line.senders.end() && !is_kept) borrowers = line.borrowed[known->get()];
    Sender* sender = known == line.senders.end() ? nullptr : known->get();
    if (sender != nullptr && sender->is_refused()) {
      line.borrowed.erase(sender);
      line.senders.erase(known);
      sender = nullptr;
    }
    if (sender == nullptr) sender = add_sink(line, url);
    if (sender == nullptr) continue;
    sender->look_anew();
    if (borrower) borrowers.insert(*borrower);
    if (borrower && !is_kept) {
      line.borrowed[sender] = std::move(borrowers);
    } else {
      line.borrowed.erase(sender);
    }
  }
  line.next_ms = 0;
}

Sender* Network::add_sink(Line& line, const std::string& url) {
  // A sink is ready only while its line is there, and lines stay where they are.
  auto sink = make_sink(url, {http_, [&line] { line.next_ms = 0; },
                              [this, dir = line.stream->info.dir] { stop_(dir); }});
  if (!sink) {
    log().error("run {}: {}", line.stream->info.run_id, sink.error().message);
    return nullptr;
  }
  const std::string key = line.stream->info.dir + without_credentials(url);
  line.senders.push_back(std::make_unique<Sender>(url, std::move(*sink), *line.stream->store,
                                                  clock_, stable_hash(key)));
  Sender* const sender = line.senders.back().get();
  if (const auto known = memories_.extract(key)) sender->recall(known.mapped());
  return sender;
}

void Network::give_back(const std::shared_ptr<Stream>& stream, uint64_t borrower) {
  queue_.post([this, stream, borrower] {
    const auto found = lines_.find(stream.get());
    if (found == lines_.end()) return;
    Line& line = found->second;
    for (auto item = line.borrowed.begin(); item != line.borrowed.end();) {
      item->second.erase(borrower);
      if (!item->second.empty()) {
        ++item;
        continue;
      }
      std::erase_if(line.senders, [&](const auto& s) { return s.get() == item->first; });
      item = line.borrowed.erase(item);
    }
    step(line);  // whoever waited for one of them waits no more
  });
}

void Network::remove(std::shared_ptr<Stream> stream, std::function<void()> done) {
  queue_.post([this, stream = std::move(stream), done = std::move(done)] {
    if (const auto line = lines_.find(stream.get()); line != lines_.end()) {
      for (const auto& sender : line->second.senders) {
        if (const Status noted = sender->note(); !noted) log().warn("{}", noted.error().message);
      }
      remember(line->second);
      lines_.erase(line);
    }
    done();
  });
}

// Of a run that is opened again for some of its sinks.
void Network::remember(const Line& line) {
  if (view_of(line).is_idle) return;
  for (const auto& sender : line.senders) {
    if (sender->is_idle() && !sender->is_refused()) continue;
    memories_[line.stream->info.dir + sender->status().url] = sender->memory();
  }
}

void Network::more(const std::shared_ptr<Stream>& stream) {
  if (!stream->has_sinks.load(std::memory_order_relaxed)) return;
  queue_.post([this, stream] {
    const auto found = lines_.find(stream.get());
    if (found == lines_.end()) return;
    for (const auto& sender : found->second.senders) sender->wake();
    found->second.next_ms = 0;
  });
}

void Network::when_sent(const std::shared_ptr<Stream>& stream, std::shared_ptr<Port> port,
                        store::Cursors lanes, std::function<void()> done) {
  queue_.post([this, stream, port = std::move(port), lanes = std::move(lanes),
               done = std::move(done)]() mutable {
    const auto found = lines_.find(stream.get());
    if (found == lines_.end()) return done();
    found->second.waiters.push_back({std::move(port), std::move(lanes), std::move(done)});
    publish(found->second);
  });
}

void Network::view(const std::shared_ptr<Stream>& stream, std::function<void(View)> done) {
  queue_.post([this, stream, done = std::move(done)] {
    const auto found = lines_.find(stream.get());
    done(found == lines_.end() ? View{} : view_of(found->second));
  });
}

Network::View Network::view_of(const Line& line) {
  View view;
  bool is_stuck = true;
  for (const auto& sender : line.senders) {
    view.sinks.push_back(sender->status());
    view.has_refused |= sender->is_refused();
    if (sender->is_idle()) continue;
    view.is_idle = false;
    view.behind += (view.behind.empty() ? "" : ", ") + view.sinks.back().url;
    const std::optional<int64_t> until = sender->stuck_until_ms();
    is_stuck &= until.has_value();
    if (!until) continue;
    view.next_try_ms = view.next_try_ms == 0 ? *until : std::min(view.next_try_ms, *until);
  }
  view.is_stuck = is_stuck && !view.is_idle;
  return view;
}

bool Network::is_sent(const Line& line, const store::Cursors& lanes) {
  return std::all_of(line.senders.begin(), line.senders.end(), [&](const auto& sender) {
    if (sender->is_refused()) return true;
    return std::all_of(lanes.begin(), lanes.end(), [&](const auto& lane) {
      const auto found = sender->lanes().find(lane.first);
      return lane.second == 0 || (found != sender->lanes().end() && found->second >= lane.second);
    });
  });
}

void Network::step(Line& line) {
  line.next_ms = std::numeric_limits<int64_t>::max();
  for (const auto& sender : line.senders) line.next_ms = std::min(line.next_ms, sender->step());
  publish(line);
}

void Network::publish(Line& line) const {
  uint32_t state = line.senders.empty() ? kUnknown : kGood;
  store::Cursors sent;
  bool is_first = true;
  for (const auto& sender : line.senders) {
    if (sender->is_refused()) {
      state = kRefused;
    } else if (sender->is_failing()) {
      state = std::max<uint32_t>(state, kRetrying);
    }
    if (std::exchange(is_first, false)) {
      sent = sender->lanes();
      continue;
    }
    for (auto lane = sent.begin(); lane != sent.end();) {
      const auto other = sender->lanes().find(lane->first);
      if (other == sender->lanes().end()) {
        lane = sent.erase(lane);
      } else {
        lane->second = std::min(lane->second, other->second);
        ++lane;
      }
    }
  }
  std::vector<std::function<void()>> answers;
  std::erase_if(line.waiters, [&](Waiter& waiter) {
    if (!is_sent(line, waiter.lanes)) return false;
    answers.push_back(std::move(waiter.done));
    return true;
  });
  progress_(line.stream, std::move(sent), state, std::move(answers));
}

void Network::run() {
  for (;;) {
    int64_t next = std::numeric_limits<int64_t>::max();
    for (const auto& [stream, line] : lines_) next = std::min(next, line.next_ms);
    http_.wait(std::clamp<int64_t>(next - clock_.monotonic_ms(), 0, kWaitMaxMs));
    if (!queue_.run()) break;
    const int64_t now = clock_.monotonic_ms();
    for (auto& [stream, line] : lines_) {
      if (!line.senders.empty() && line.next_ms <= now) step(line);
    }
  }
  lines_.clear();
}

}  // namespace ringlog::service
