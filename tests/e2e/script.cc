// A program that does what it is told, line by line: the tests then read like the user's code.
//
//   init [project=P] [dir=D]      log loss=f:0.5 n=i:3 [step=7] [commit=0] [time_ns=5]
//   config net>width=i:3          summary best=f:1
//   metric val/* epoch max,last   hist grad 4 0 1 2 3
//   alert title text [0-2]        save PATTERN [now|live|end [BASE]]
//   console TEXT                  (with \n and \r for what they stand for)
//   flush                         deliver run | summary
//   sent MS                       (waits so long until the sinks have all)
//   progress MS                   (the same; what it was told meanwhile of the rows sent)
//   live [DIR]                    status
//   should_stop [STEP]            checkpoint STEP
//   fork loss=f:1                 (a child that logs one row, then leaves)
//   forks 100 loss=f:1            (so many at the same time)
//   finish 3 [TIMEOUT_MS]         files   (finish, and what became of files)
//   fill                          (logs rows until one is dropped; how many were not)
//   exit 3
//
// Values: f: i: u: b: s: for float64, int64, uint64, bool, text; l:1,2 for a list.  `>` separates
// the keys of nested objects.  Each line is answered with one line: `ok`, a value, or `error: why`.

#include <ringlog/ringlog.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

using Words = std::vector<std::string>;

// One object of a line with everything its values borrow.
class Object {
 public:
  void add(const std::string& key, const std::string& text) {
    const size_t split = key.find('>');
    if (split == std::string::npos) {
      items_.push_back({names_.emplace_back(key), value(text)});
      return;
    }
    Object& inner = inners_[inner_of(key.substr(0, split))].second;
    inner.add(key.substr(split + 1), text);
  }
  std::vector<ringlog::Item> items() const {
    std::vector<ringlog::Item> all = items_;
    for (const auto& [key, inner] : inners_) {
      inner.all_ = inner.items();
      all.push_back({key, ringlog::Value(inner.all_)});
    }
    return all;
  }

 private:
  size_t inner_of(const std::string& key) {
    for (size_t i = 0; i < inners_.size(); ++i) {
      if (inners_[i].first == key) return i;
    }
    inners_.emplace_back(key, Object());
    return inners_.size() - 1;
  }
  ringlog::Value value(const std::string& text) {
    const std::string rest = text.substr(text.find(':') + 1);
    switch (text.front()) {
      case 'f':
        return std::strtod(rest.c_str(), nullptr);
      case 'i':
        return std::strtoll(rest.c_str(), nullptr, 10);
      case 'u':
        return std::strtoull(rest.c_str(), nullptr, 10);
      case 'b':
        return rest == "1";
      case 'l': {
        std::vector<double>& list = lists_.emplace_back();
        std::istringstream in(rest);
        for (std::string part; std::getline(in, part, ',');) list.push_back(std::stod(part));
        return list;
      }
      default:
        return names_.emplace_back(rest);
    }
  }

  std::vector<ringlog::Item> items_;
  std::deque<std::string> names_;  // they stay where they are
  std::deque<std::vector<double>> lists_;
  std::deque<std::pair<std::string, Object>> inners_;
  mutable std::vector<ringlog::Item> all_;
};

std::optional<ringlog::Run> g_run;

// Takes `name=` words that are options away from the fields.
Object fields(const Words& words, ringlog::LogOptions* options) {
  Object object;
  for (size_t i = 1; i < words.size(); ++i) {
    const size_t equal = words[i].find('=');
    const std::string key = words[i].substr(0, equal);
    const std::string text = words[i].substr(equal + 1);
    if (options != nullptr && key == "step") {
      options->step = std::strtoull(text.c_str(), nullptr, 10);
    } else if (options != nullptr && key == "time_ns") {
      options->time_ns = std::strtoll(text.c_str(), nullptr, 10);
    } else if (options != nullptr && key == "commit") {
      options->commit = text == "1";
    } else {
      object.add(key, text);
    }
  }
  return object;
}

std::string log_row(const Words& words) {
  ringlog::LogOptions options;
  const Object object = fields(words, &options);
  g_run->log(object.items(), options);
  return "ok";
}

std::string log_histogram(const Words& words) {
  std::vector<double> values;
  for (size_t i = 3; i < words.size(); ++i) values.push_back(std::stod(words[i]));
  const ringlog::Histogram histogram(values, std::stoul(words[2]));
  g_run->log({{words[1], histogram}});
  return "ok";
}

std::string define_metric(const Words& words) {
  ringlog::MetricOptions options;
  if (words.size() > 2 && words[2] != "-") options.step_metric = words[2];
  std::istringstream in(words.size() > 3 && words[3] != "-" ? words[3] : "");
  for (std::string part; std::getline(in, part, ',');) options.summary.push_back(part);
  options.hidden = words.size() > 4 && words[4] == "hidden";
  g_run->define_metric(words[1], options);
  return "ok";
}

template <typename T>
std::string failed(const ringlog::Result<T>& result) {
  return "error: " + result.error().message;
}

std::string deliver(const std::string& what) {
  constexpr std::chrono::seconds kWait{10};
  if (what == "summary") {
    auto summary = g_run->deliver_summary().wait(kWait);
    return summary ? *summary : failed(summary);
  }
  auto info = g_run->deliver_run().wait(kWait);
  return info ? info->run_id + " " + info->project + " " + info->dir : failed(info);
}

std::string flush() {
  auto done = g_run->flush(ringlog::Durability::kSynced).wait(std::chrono::seconds(10));
  return done ? std::to_string(done->stored) + " " + std::to_string(done->synced) : failed(done);
}

std::string wait_until_sent(const Words& words) {
  auto done =
      g_run->flush(ringlog::Durability::kSent).wait(std::chrono::milliseconds(std::stoi(words[1])));
  return done ? std::to_string(done->stored) + " " + std::to_string(done->sent) : failed(done);
}

std::string sent_meanwhile(const Words& words) {
  std::string told;
  uint64_t last = 0;
  auto done = g_run->flush(ringlog::Durability::kSent)
                  .wait(std::chrono::milliseconds(std::stoi(words[1])),
                        [&](const ringlog::Progress& progress) {
                          const uint64_t sent = progress.positions.sent;
                          if (sent == std::exchange(last, sent)) return;
                          told += std::to_string(sent) + " ";
                        });
  return done ? told + std::to_string(done->sent) : failed(done);
}

std::string sync_status() {
  const ringlog::SyncStatus s = g_run->sync_status();
  return std::to_string(s.attempted) + " " + std::to_string(s.stored) + " " +
         std::to_string(s.synced) + " " + std::to_string(s.sent) + " " +
         std::to_string(static_cast<int>(s.network));
}

std::string live_summary(const Words& words) {
  auto live = ringlog::LiveSummary::open(words.size() > 1 ? words[1] : g_run->dir());
  if (!live) return failed(live);
  auto json = live->json();
  return json ? *json : failed(json);
}

std::string print(const Words& words) {
  std::string text;
  for (size_t i = 1; i < words.size(); ++i) text += (i > 1 ? " " : "") + words[i];
  for (const auto& [from, to] : {std::pair{"\\n", "\n"}, std::pair{"\\r", "\r"}}) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos;) text.replace(at, 2, to);
  }
  g_run->console(text, false);
  return "ok";
}

std::string fork_child(const Words& words) {
  const pid_t child = ::fork();
  if (child == 0) {
    log_row(words);
    std::exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return std::to_string(WEXITSTATUS(status));
}

std::string fork_children(Words words) {
  const int count = std::stoi(words[1]);
  words.erase(words.begin());
  std::vector<pid_t> children;
  for (int i = 0; i < count; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      log_row(words);
      std::exit(0);
    }
    children.push_back(child);
  }
  int good = 0;
  for (const pid_t child : children) {
    int status = 0;
    if (::waitpid(child, &status, 0) == child && status == 0) ++good;
  }
  return std::to_string(good);
}

std::string finish(const Words& words) {
  const std::chrono::milliseconds wait(words.size() > 2 ? std::stoi(words[2]) : 30'000);
  const ringlog::FinishReport report =
      g_run->finish(words.size() > 1 ? std::stoi(words[1]) : 0, wait);
  return std::to_string(report.attempted) + " " + std::to_string(report.stored) + " " +
         std::to_string(report.dropped);
}

std::string fill() {
  uint64_t rows = 0;
  while (g_run->sync_status().dropped == 0) {
    g_run->log({{"i", rows}, {"text", std::string(1000, 'x')}});
    ++rows;
  }
  return std::to_string(rows - 1);
}

std::string finish_files() {
  const ringlog::FinishReport report = g_run->finish();
  return std::to_string(report.files) + " " + std::to_string(report.file_bytes) + " " +
         std::to_string(report.files_failed);
}

std::string save(const Words& words) {
  ringlog::SaveOptions options;
  if (words.size() > 2 && words[2] == "live") options.policy = ringlog::SavePolicy::kLive;
  if (words.size() > 2 && words[2] == "end") options.policy = ringlog::SavePolicy::kEnd;
  if (words.size() > 3) options.base_path = words[3];
  uint64_t told = 0;
  options.on_progress = [&](const ringlog::SaveReport& report) { told = report.bytes; };
  const auto saved = g_run->save(words[1], options);
  if (!saved) return failed(saved);
  if (saved->bytes != told) return "error: the progress ended at " + std::to_string(told);
  return std::to_string(saved->files) + " " + std::to_string(saved->bytes);
}

std::string init(const Words& words) {
  ringlog::Settings settings;
  for (size_t i = 1; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    (words[i].starts_with("dir") ? settings.dir : settings.project) = words[i].substr(equals + 1);
  }
  return g_run.emplace(ringlog::init(settings)).ok() ? g_run->id() : "disabled";
}

std::string obey(const Words& words) {
  const std::string& what = words[0];
  if (what == "init") return init(words);
  if (what == "log") return log_row(words);
  if (what == "console") return print(words);
  if (what == "hist") return log_histogram(words);
  if (what == "metric") return define_metric(words);
  if (what == "flush") return flush();
  if (what == "sent") return wait_until_sent(words);
  if (what == "progress") return sent_meanwhile(words);
  if (what == "deliver") return deliver(words[1]);
  if (what == "live") return live_summary(words);
  if (what == "forks") return fork_children(words);
  if (what == "fork") return fork_child(words);
  if (what == "finish") return finish(words);
  if (what == "files") return finish_files();
  if (what == "fill") return fill();
  if (what == "should_stop" && words.size() > 1) {
    return g_run->should_stop(std::stoull(words[1])) ? "yes" : "no";
  }
  if (what == "checkpoint") {
    return g_run->should_checkpoint(std::stoull(words[1])) ? "yes" : "no";
  }
  if (what == "status") return sync_status();
  if (what == "should_stop") return g_run->should_stop() ? "yes" : "no";
  if (what == "rank") return std::to_string(g_run->rank()) + "." + std::to_string(g_run->attempt());
  if (what == "error") return g_run->error().message;
  if (what == "exit") std::exit(std::stoi(words[1]));
  if (what == "raise") return std::to_string(::raise(std::stoi(words[1])));
  if (what == "throw") throw std::runtime_error("as told");
  if (what == "config") g_run->config(fields(words, nullptr).items());
  if (what == "summary") g_run->summary(fields(words, nullptr).items());
  if (what == "alert") {
    const int level = words.size() > 3 ? std::stoi(words[3]) : 0;
    g_run->alert(words[1], words[2], static_cast<ringlog::AlertLevel>(level));
  }
  if (what == "save" && words.size() > 2) return save(words);
  if (what == "save") {
    const ringlog::Status saved = g_run->save(words[1]);
    if (!saved) return "error: " + saved.error().message;
  }
  return "ok";
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    Words words;
    for (std::string word; in >> word;) words.push_back(word);
    if (words.empty()) continue;
    std::cout << obey(words) << std::endl;
  }
  return 0;
}
