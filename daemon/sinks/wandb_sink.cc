#include "daemon/sinks/wandb_sink.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <utility>

#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/names.h"
#include "daemon/sinks/netrc.h"
#include "daemon/sinks/wandb_config.h"
#include "formats/wandb_rows.h"
#include "formats/wandb_summary.h"

namespace ringlog::service {

namespace {

// How often files that may change are looked at, and uploads that the end waits for.
constexpr int64_t kFilesLookMs = 10'000;
constexpr int64_t kUploadsLookMs = 100;

// Size and time of the last change; empty: it is no file.
std::string stamp_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return "";
  return std::to_string(status.st_size) + ":" + std::to_string(status.st_mtim.tv_sec) + "." +
         std::to_string(status.st_mtim.tv_nsec);
}

// The earlier of two times, of which 0 is none.
int64_t earlier(int64_t a, int64_t b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

}  // namespace

WandbSink::WandbSink(HttpServer server, const SinkParts& parts, const WandbTimes& times)
    : HttpSink(std::move(server), parts),
      times_(times),
      pace_(times.interval_ms, times.heartbeat_ms),
      alerts_(this->parts().http, this->server()),
      uploads_(this->parts().http, this->server()) {}

Sink::Limits WandbSink::limits() const {
  return {.rows = kWandbBatchRows,
          .bytes = kWandbBatchBytes,
          .interval_ms = std::min(kWandbLookMs, std::max<int64_t>(times_.interval_ms / 8, 50)),
          .is_rows_only = false,
          .is_collecting = true};
}

Status WandbSink::open(const store::RunMeta& run, const std::string& cursor) {
  if (!cursor.empty()) {
    auto read = read_wandb_cursor(cursor);
    if (!read) return read.take_error();
    cursor_ = *std::move(read);
  }
  alerts_.start_at(cursor_.alert_lsn);
  const std::string& path = server().url.path;
  const size_t slash = std::min(path.find('/'), path.size());
  place_ = {.entity = path.substr(0, slash),
            .project = path.substr(std::min(slash + 1, path.size())),
            .run = formats::wandb_id(run.run_id)};
  if (place_.project.empty()) place_.project = formats::wandb_project(run.project);
  if (!cursor_.entity.empty()) {
    place_.entity = cursor_.entity;
    place_.project = cursor_.project;
  }
  uploads_.set_place(place_);
  return Done{};
}

Status WandbSink::read_run(store::RunReader& reader) {
  auto meta = reader.meta();
  if (!meta) return meta.take_error();
  auto producers = formats::read_wandb_producers(reader);
  if (!producers) return producers.take_error();
  facts_.meta = *std::move(meta);
  facts_.producers = *std::move(producers);
  return Done{};
}

// What costs more, when records say that it changed.
Status WandbSink::read_facts(store::RunReader& reader) {
  auto facts = formats::read_wandb_facts(reader, facts_.meta);
  if (!facts) return facts.take_error();
  auto rules = reader.rules();
  if (!rules) return rules.take_error();
  facts_ = *std::move(facts);
  rules_ = *std::move(rules);
  files_ = {{"diff.patch", schema::File::Policy::NOW}};
  constexpr auto kFile = static_cast<uint16_t>(schema::Record::FILE);
  Status read = reader.for_each_record(kFile, 0, [&](const store::RecordView& view) {
    const schema::File::Reader file = view.record.getFile();
    files_[file.getName().cStr()] = file.getPolicy();
    return true;
  });
  if (!read) return read;
  has_facts_ = true;
  files_ms_ = 0;
  return Done{};
}

std::set<int32_t> WandbSink::ranks_of(bool has_ranks) const {
  std::set<int32_t> ranks;
  if (!has_ranks) return ranks;
  for (const store::ProducerState& producer : facts_.producers) ranks.insert(producer.rank);
  return ranks;
}

Result<std::string> WandbSink::summary_of(const Look& look, bool has_ranks) const {
  auto facts = look.reader.summary_facts();
  if (!facts) return facts.take_error();
  formats::MergedRow last{.step = batch_.after.step, .time_ns = batch_.after.time_ns};
  if (last.time_ns != 0) last.cells.try_emplace(0);
  const int64_t end_ns = look.is_running ? std::max(look.now_ns, facts_.meta.created_ns)
                                         : facts_.ended_ns(last.time_ns);
  return formats::json_of(formats::summary_items(formats::summary_items_of(*facts, has_ranks), last,
                                                 facts_.meta.created_ns, end_ns));
}

bool WandbSink::is_known(const std::string& name, const std::string& stamp) const {
  const auto is_in = [&](const std::map<std::string, std::string>& stamps) {
    const auto found = stamps.find(name);
    return found != stamps.end() && found->second == stamp;
  };
  return is_in(cursor_.files) || is_in(file_stamps_) || uploads_.has(name, stamp);
}

// Saved files that are new or changed.
void WandbSink::look_for_files(const Look& look) {
  const bool is_due = files_ms_ == 0 || look.now_ms >= files_ms_ + kFilesLookMs || look.is_last;
  if (!is_due) return;
  files_ms_ = look.now_ms;
  for (const auto& [name, policy] : files_) {
    if (policy == schema::File::Policy::END && look.is_running) continue;
    const std::string path = look.reader.dir() + "/files/" + name;
    const std::string stamp = stamp_of(path);
    if (stamp.empty() || is_known(name, stamp)) continue;
    uploads_.add({.name = name, .path = path, .stamp = stamp});
  }
}

void WandbSink::add_content(const std::string& name, std::string content) {
  const std::string stamp = std::to_string(stable_hash(content));
  if (content.empty() || is_known(name, stamp)) return;
  uploads_.add({.name = name, .content = std::move(content), .stamp = stamp});
}

// What W&B's own client leaves as files when a run ends.
Status WandbSink::add_last_files(const Look& look) {
  if (has_last_files_) return Done{};
  const formats::WandbRun run = facts_.run({});
  auto summary = summary_of(look, cursor_.has_ranks);
  if (!summary) return summary.take_error();
  auto console = read_console(look.reader, facts_, cursor_.has_ranks, kWandbOutputBytesMax);
  if (!console) return console.take_error();
  add_content("wandb-metadata.json", metadata_json(run));
  add_content("wandb-summary.json", *std::move(summary));
  add_content("config.yaml", config_yaml(run, rules_, ranks_of(cursor_.has_ranks)));
  add_content("output.log", *std::move(console));
  has_last_files_ = true;
  return Done{};
}

void WandbSink::take_uploaded() {
  for (WandbUploaded& file : uploads_.take_done()) {
    if (file.is_there) uploaded_.push_back(file.name);
    file_stamps_[file.name] = std::move(file.stamp);
  }
}

void WandbSink::add_call(Kind kind, std::string target, std::string body) {
  calls_.push_back({kind, {.target = std::move(target), .body = std::move(body)}});
}

void WandbSink::add_upsert(int64_t now_ms) {
  const formats::WandbRun run = facts_.run({});
  const bool is_whole = telling_ != told_;
  config_sending_ = config_;
  config_ms_ = now_ms;
  add_call(Kind::kUpsert, "/graphql", upsert_body(place_, run, config_, is_whole));
}

int64_t WandbSink::config_due_ms(const Look& look) const {
  if (telling_ != told_) return look.now_ms;
  if (config_ == config_sent_) return -1;
  return look.is_running ? config_ms_ + kWandbConfigMs : look.now_ms;
}

WandbPace::Wish WandbSink::wish_of(const Look& look) const {
  const bool is_repeat = cursor_.reach.has_value();
  const bool has_files = !uploaded_.empty() && look.is_running;  // else they come with the end
  const bool has_lines = is_repeat || !look.plan.is_empty || has_files;
  return {.has_lines = has_lines || look.is_last,
          .is_urgent = is_repeat || look.plan.is_full || !look.is_running,
          .is_running = look.is_running};
}

Status WandbSink::add_stream(const Look& look, store::SinkState& state, Collected& out) {
  WandbStream stream{
      .history = cursor_.history, .events = cursor_.events, .output = cursor_.output};
  if (!cursor_.reach && !look.plan.is_empty) cursor_.reach = look.plan.reach;
  if (cursor_.reach) {
    auto batch = read_batch(look.reader, state, cursor_, facts_, *cursor_.reach);
    if (!batch) return batch.take_error();
    batch_ = *std::move(batch);
    for (const auto& [lane, seq] : cursor_.reach->lanes) state.lanes[lane] = seq;
    state.record_lsn = std::max(state.record_lsn, cursor_.reach->record_lsn);
    state.left_out += batch_.left_out;
    stream.batch = &batch_;
  }
  out.rows = batch_.rows;
  out.records = batch_.records;
  if (cursor_.reach || look.is_last) {
    auto summary = summary_of(look, batch_.after.has_ranks);
    if (!summary) return summary.take_error();
    if (*summary != summary_sent_) stream.summary = *summary;
    summary_sending_ = *std::move(summary);
  }
  stream.uploaded = uploaded_;
  for (const auto& [name, stamp] : file_stamps_) batch_.after.files[name] = stamp;
  if (look.is_last) {
    stream.exit_code = facts_.exit_code({});
    batch_.after.is_complete = true;
  }
  has_stream_ = true;
  add_call(Kind::kStream, stream_target(place_), stream_body(stream));
  return Done{};
}

std::string WandbSink::cursor() const {
  WandbCursor cursor = cursor_;
  cursor.alert_lsn = alerts_.done_lsn();
  return to_text(cursor);
}

// The run has not ended before they are there.
Status WandbSink::pass_on_alerts(const Look& look, Collected& out) {
  if (Status s = alerts_.read(look.reader); !s) return s;
  alerts_.step(place_, look.now_ms);
  out.due_ms = alerts_.due_ms(look.now_ms);
  out.is_behind = !alerts_.is_idle();
  return Done{};
}

Result<Collected> WandbSink::collect(store::RunReader& reader, store::SinkState& state,
                                     size_t rows_max, const Clock& clock) {
  Look look{.reader = reader, .now_ms = clock.monotonic_ms(), .now_ns = clock.realtime_ns()};
  now_ms_ = look.now_ms;
  if (Status s = read_run(reader); !s) return s.take_error();
  look.is_running = facts_.is_running({});
  if (!cursor_.reach) {
    auto plan = plan_batch(reader, state, cursor_, facts_, rows_max, look.now_ns);
    if (!plan) return plan.take_error();
    look.plan = *std::move(plan);
  }
  if (cursor_.is_complete && (look.is_running || !look.plan.is_empty)) {  // a new attempt
    cursor_.is_complete = false;
    has_last_files_ = false;
    told_.clear();
  }
  if (!has_facts_ || look.plan.has_facts) {
    if (Status s = read_facts(reader); !s) return s.take_error();
  }
  const bool has_ranks = cursor_.has_ranks || look.plan.reach.has_ranks;
  config_ = config_json(facts_.run({}), rules_, ranks_of(has_ranks));
  telling_ = upsert_body(place_, facts_.run({}), "", true);
  batch_.after = cursor_;
  Collected out;
  if (cursor_.entity.empty()) {  // the server is told of the run before anything else
    add_upsert(look.now_ms);
    out.is_batch = true;
    return out;
  }
  if (Status s = pass_on_alerts(look, out); !s) return s.take_error();
  const bool is_over = !look.is_running && !cursor_.reach && look.plan.is_empty;
  look.is_last = is_over && !cursor_.is_complete;
  look_for_files(look);
  if (look.is_last) {
    if (Status s = add_last_files(look); !s) return s.take_error();
  }
  uploads_.step(look.now_ms);
  take_uploaded();
  if (look.is_last && !uploads_.is_idle()) {
    look.is_last = false;
    out.due_ms = earlier(out.due_ms, look.now_ms + kUploadsLookMs);
  }
  if (!alerts_.is_idle()) look.is_last = false;
  const int64_t config_ms = config_due_ms(look);
  if (config_ms >= 0 && config_ms <= look.now_ms) {
    add_upsert(look.now_ms);
  } else if (config_ms >= 0) {
    out.due_ms = earlier(out.due_ms, config_ms);
  }
  const std::optional<int64_t> stream_ms = pace_.next_ms(wish_of(look));
  if (stream_ms && *stream_ms <= look.now_ms) {
    if (Status s = add_stream(look, state, out); !s) return s.take_error();
  } else if (stream_ms) {
    out.due_ms = earlier(out.due_ms, *stream_ms);
  }
  if (look.plan.held_ns >= 0) {
    out.due_ms = earlier(out.due_ms, look.now_ms + look.plan.held_ns / 1'000'000 + 1);
  }
  out.is_batch = !calls_.empty();
  const bool is_ending = is_over && !cursor_.is_complete;
  out.is_behind |= cursor_.reach || !look.plan.is_empty || look.plan.held_ns >= 0 || is_ending;
  return out;
}

void WandbSink::clear() {
  HttpSink::clear();
  calls_.clear();
  is_called_ = false;
  has_stream_ = false;
  batch_ = {};
}

std::optional<HttpSink::Call> WandbSink::next() {
  if (std::exchange(is_called_, false)) calls_.pop_front();
  if (calls_.empty()) {
    cursor_ = batch_.after;
    if (has_stream_) {
      uploaded_.clear();
      file_stamps_.clear();
    }
    return {};
  }
  is_called_ = true;
  if (calls_.front().kind == Kind::kStream) pace_.sent(now_ms_);
  return std::move(calls_.front().call);
}

SendResult WandbSink::judge_upsert(const HttpAnswer& answer) {
  const WandbAnswer read = read_upsert(answer.body);
  if (!read.error.empty()) {
    return {.kind = SendResult::Kind::kRetry,
            .message = text_of(answer) + "; that does not say that it takes the run"};
  }
  const bool is_first = cursor_.entity.empty();
  batch_.after.entity = read.entity;
  batch_.after.project = read.project;
  place_.entity = read.entity;
  place_.project = read.project;
  uploads_.set_place(place_);
  // What the next look compares with: names as the server calls them.
  told_ = upsert_body(place_, facts_.run({}), "", true);
  config_sent_ = config_sending_;
  if (is_first && !read.is_new) {
    // Somebody sent lines under this name before: ours come behind them.
    calls_.push_back({Kind::kResume, {.target = "/graphql", .body = resume_body(place_)}});
  }
  return {};
}

void WandbSink::judge_stream(const HttpAnswer& answer) {
  if (!summary_sending_.empty()) summary_sent_ = std::exchange(summary_sending_, {});
  if (has_stopped_ || !is_stopped(answer.body)) return;
  has_stopped_ = true;
  log().info("{} asks run {} to stop", server().url.base, place_.run);
  parts().stop();
}

// Answers that W&B's own client takes for final.
SendResult WandbSink::refusal(const HttpAnswer& answer) {
  const Kind kind = calls_.front().kind;
  const bool is_stream = kind == Kind::kStream;
  std::set<int> finals = {400, 404, 410, 422};
  if (is_stream) finals.insert({409, 413, 501});
  if (answer.status == 401 || answer.status == 403) return refused_password(answer);
  if (!finals.contains(answer.status)) return judge_status(answer);
  if (answer.status == 413 && batch_.rows + batch_.records > 1) {
    // It was not taken, so that smaller ones may be made of it.
    cursor_.reach.reset();
    return {.kind = SendResult::Kind::kSplit, .message = text_of(answer)};
  }
  return {.kind = SendResult::Kind::kRefused, .message = text_of(answer)};
}

SendResult WandbSink::judge(const HttpAnswer& answer) {
  pace_.answered(answer.limit_remaining, answer.limit_reset_ms, now_ms_);
  if (answer.outcome != HttpAnswer::Outcome::kAnswered) return judge_status(answer);
  if (answer.status < 200 || answer.status >= 300) return refusal(answer);
  switch (calls_.front().kind) {
    case Kind::kUpsert:
      return judge_upsert(answer);
    case Kind::kResume:
      if (const auto counts = read_resume(answer.body)) {
        batch_.after.history = counts->history;
        batch_.after.events = counts->events;
        batch_.after.output = counts->output;
        return {};
      }
      return {.kind = SendResult::Kind::kRetry,
              .message = server().url.base + " does not say how much of the run it has"};
    case Kind::kStream:
      judge_stream(answer);
      return {};
  }
  return {};
}

Result<std::unique_ptr<Sink>> make_wandb_sink(const std::string& url, const SinkParts* parts) {
  constexpr Secrets kSecrets = {nullptr, "WANDB_API_KEY", "WANDB_API_KEY or ~/.netrc"};
  auto read = parse_sink_url(url, "interval_s heartbeat_s timeout_s", kSecrets.places);
  if (!read) return read.take_error();
  if (!read->user.empty()) {
    return Error{Code::kInvalidArgument, "the sink of " + read->base +
                                             " names a user; W&B knows people by the key in " +
                                             std::string(kSecrets.places)};
  }
  if (std::count(read->path.begin(), read->path.end(), '/') > 1) {
    return Error{Code::kInvalidArgument, "sink " + url + " is not …host/ENTITY/PROJECT"};
  }
  auto server = server_of(*read, kSecrets);
  if (!server) return server.take_error();
  auto interval_ms = seconds_of(*read, "interval_s", kWandbIntervalMs, 0);
  if (!interval_ms) return interval_ms.take_error();
  auto heartbeat_ms = seconds_of(*read, "heartbeat_s", kWandbHeartbeatMs, 1);
  if (!heartbeat_ms) return heartbeat_ms.take_error();
  if (parts == nullptr) return std::unique_ptr<Sink>();
  if (server->password.empty()) server->password = netrc_password(read->host).value_or("");
  // W&B wants this user whatever stands in ~/.netrc.
  if (!server->password.empty()) server->user = "api";
  server->headers = {"Content-Type: application/json"};
  server->coding = Coding::kNone;
  return std::unique_ptr<Sink>(std::make_unique<WandbSink>(
      *std::move(server), *parts,
      WandbTimes{.interval_ms = *interval_ms, .heartbeat_ms = *heartbeat_ms}));
}

}  // namespace ringlog::service
