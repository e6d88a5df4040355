#include "formats/wandb_records.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <utility>

#include "formats/utf8.h"
#include "formats/wandb.pb.h"
#include "store/row_json.h"

namespace ringlog::formats {

namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr size_t kNameSizeMax = 128;  // W&B's limit for ids and projects, in bytes here

std::string replaced(std::string_view text, std::string_view refused) {
  std::string out = clean_utf8(text.substr(0, kNameSizeMax));
  for (char& c : out) {
    if (refused.find(c) != std::string_view::npos) c = '-';
  }
  return out;
}

void set_time(wandb::Timestamp& out, int64_t time_ns) {
  int64_t seconds = time_ns / kNsPerSecond;
  int64_t nanos = time_ns % kNsPerSecond;
  if (nanos < 0) {
    nanos += kNsPerSecond;
    --seconds;
  }
  out.set_seconds(seconds);
  out.set_nanos(static_cast<int32_t>(nanos));
}

template <typename Items>
void add_item(Items& items, std::string_view key, std::string json) {
  wandb::Item& item = *items.Add();
  item.add_nested_key(std::string(key));
  item.set_value_json(std::move(json));
}

// A name that W&B gives a row itself is not a metric's.
std::string metric_key(const std::string& label, const std::string& key) {
  constexpr std::string_view kOwn[] = {"_step", "_timestamp", "_runtime", "_wandb"};
  const bool is_own =
      label.empty() && std::find(std::begin(kOwn), std::end(kOwn), key) != std::end(kOwn);
  return is_own ? "_" + key : label + key;
}

void set_aggregates(wandb::Metric& out, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    wandb::Metric::Aggregates& summary = *out.mutable_summary();
    if (name == "min") summary.set_min(true);
    if (name == "max") summary.set_max(true);
    if (name == "mean") summary.set_mean(true);
    if (name == "last") summary.set_last(true);
    if (name == "first") summary.set_first(true);
    if (name == "none") summary.set_none(true);
  }
}

}  // namespace

std::string wandb_id(std::string_view id) { return replaced(id, ":;,#?/'\\"); }
std::string wandb_project(std::string_view project) { return replaced(project, "/\\#?%:"); }

WandbRecords::WandbRecords() : record_(std::make_unique<wandb::Record>()) {}
WandbRecords::~WandbRecords() = default;

void WandbRecords::append(std::string& out) {
  record_->set_num(++count_);
  bytes_.clear();
  record_->AppendToString(&bytes_);
  log_.append(bytes_, out);
  record_->Clear();
}

std::string WandbRecords::runtime_json(int64_t time_ns) const {
  std::string json;
  store::append_json_seconds(json, time_ns - started_ns_);
  return json;
}

void WandbRecords::begin(const WandbRun& run, std::string& out) {
  started_ns_ = run.started_ns;
  record_->mutable_header()->mutable_version_info()->set_producer("ringlog");
  append(out);
  wandb::Run& to = *record_->mutable_run();
  to.set_run_id(run.id);
  to.set_project(run.project);
  to.set_run_group(clean_utf8(run.group));
  to.set_job_type(clean_utf8(run.job_type));
  to.set_display_name(clean_utf8(run.name));
  to.set_notes(clean_utf8(run.notes));
  for (const std::string& tag : run.tags) to.add_tags(clean_utf8(tag));
  to.set_host(clean_utf8(run.host));
  set_time(*to.mutable_start_time(), run.started_ns);
  if (const store::Tree::Object* config = run.config.object()) {
    for (const auto& [key, value] : *config) {
      wandb::Item& item = *to.mutable_config()->add_update();
      item.set_key(clean_utf8(key));
      item.set_value_json(store::to_json(value));
    }
  }
  // Without a slot some versions of W&B wait for ever for somebody to take the answer.
  record_->mutable_control()->set_mailbox_slot("ringlog");
  append(out);
  append_environment(run, out);
}

void WandbRecords::append_environment(const WandbRun& run, std::string& out) {
  wandb::Environment& to = *record_->mutable_environment();
  to.set_os("Linux");
  set_time(*to.mutable_started_at(), run.started_ns);
  if (!run.command.empty()) to.set_program(clean_utf8(run.command.front()));
  for (size_t i = 1; i < run.command.size(); ++i) to.add_args(clean_utf8(run.command[i]));
  to.set_host(clean_utf8(run.host));
  to.set_writer_id(run.id);
  const record::ProcessFacts& process = run.process;
  if (!process.system.empty()) to.set_os(process.system);
  to.set_root(process.directory);
  to.set_username(process.user);
  to.set_executable(process.executable);
  if (!process.git.commit.empty()) {
    to.mutable_git()->set_commit(process.git.commit);
    to.mutable_git()->set_remote_url(process.git.remote);
  }
  for (const auto& [name, value] : process.container) {
    if (name == "image") to.set_docker(value);
  }
  constexpr std::string_view kSlurm = "SLURM_";
  for (const auto& [name, value] : process.environment) {
    if (!name.starts_with(kSlurm)) continue;
    wandb::NamedText& entry = *to.add_slurm();
    std::string key = name.substr(kSlurm.size());
    for (char& c : key) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    entry.set_key(std::move(key));
    entry.set_value(value);
  }
  append(out);
}

void WandbRecords::metric(const WandbMetric& metric, std::string& out) {
  wandb::Metric& to = *record_->mutable_metric();
  if (metric.name.ends_with('*')) {
    to.set_glob_name(clean_utf8(metric.name));
  } else {
    to.set_name(clean_utf8(metric.name));
  }
  if (!metric.step_metric.empty()) to.set_step_metric(clean_utf8(metric.step_metric));
  to.mutable_options()->set_defined(true);
  to.mutable_options()->set_hidden(metric.is_hidden);
  to.mutable_options()->set_step_sync(!metric.step_metric.empty());
  set_aggregates(to, metric.summary);
  to.set_expanded_from_glob(metric.is_expanded);
  append(out);
}

void WandbRecords::console(std::string_view text, bool is_stderr, int64_t time_ns,
                           std::string& out) {
  wandb::OutputRaw& to = *record_->mutable_output_raw();
  to.set_output_type(is_stderr ? wandb::OutputRaw::STDERR : wandb::OutputRaw::STDOUT);
  set_time(*to.mutable_timestamp(), time_ns);
  to.set_line(std::string(text));
  append(out);
}

void WandbRecords::files(std::span<const std::string> names, std::string& out) {
  if (names.empty()) return;
  wandb::Files& to = *record_->mutable_files();
  for (const std::string& name : names) {
    wandb::Files::Item& item = *to.add_files();
    item.set_path(clean_utf8(name));
    item.set_policy(wandb::Files::Item::END);
  }
  append(out);
}

void WandbRecords::alert(schema::Alert::Reader alert, std::string& out) {
  wandb::Alert& to = *record_->mutable_alert();
  const auto text_of = [](capnp::Text::Reader text) {
    return clean_utf8({text.begin(), text.size()});
  };
  to.set_title(text_of(alert.getTitle()));
  to.set_text(text_of(alert.getText()));
  const bool is_warning = alert.getLevel() == schema::Alert::Level::WARN;
  const bool is_error = alert.getLevel() == schema::Alert::Level::ERROR;
  to.set_level(is_error ? "ERROR" : is_warning ? "WARN" : "INFO");
  append(out);
}

void WandbRecords::stats(std::span<const std::string> names, std::span<const double> values,
                         int64_t time_ns, std::string& out) {
  wandb::Stats& to = *record_->mutable_stats();
  set_time(*to.mutable_timestamp(), time_ns);
  for (size_t i = 0; i < names.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    wandb::Stats::StatsItem& item = *to.add_item();
    item.set_key(clean_utf8(names[i]));
    std::string json;
    store::append_json(json, store::Tree(values[i]));
    item.set_value_json(std::move(json));
  }
  append(out);
}

void WandbRecords::history(const MergedRow& row, std::span<const MergedColumn> columns,
                           std::string& out) {
  wandb::History& to = *record_->mutable_history();
  for (const auto& [column, json] : row.cells) {
    const MergedColumn& metric = columns[column];
    wandb::Item& item = *to.add_item();
    item.add_nested_key(metric_key(metric.label, metric.keys.front()));
    for (size_t i = 1; i < metric.keys.size(); ++i) item.add_nested_key(metric.keys[i]);
    item.set_value_json(json);
  }
  std::string time;
  store::append_json_seconds(time, row.time_ns);
  add_item(*to.mutable_item(), "_timestamp", std::move(time));
  add_item(*to.mutable_item(), "_runtime", runtime_json(row.time_ns));
  add_item(*to.mutable_item(), "_step", std::to_string(row.step));
  to.mutable_step()->set_num(static_cast<int64_t>(row.step));
  append(out);
}

void WandbRecords::summary(std::span<const WandbItem> items, const MergedRow& last,
                           int64_t ended_ns, std::string& out) {
  wandb::Summary& to = *record_->mutable_summary();
  for (const WandbItem& from : items) {
    wandb::Item& item = *to.add_update();
    item.add_nested_key(metric_key("", from.keys.front()));
    for (size_t i = 1; i < from.keys.size(); ++i) item.add_nested_key(from.keys[i]);
    item.set_value_json(from.json);
  }
  if (!last.cells.empty()) {
    std::string time;
    store::append_json_seconds(time, last.time_ns);
    add_item(*to.mutable_update(), "_timestamp", std::move(time));
    add_item(*to.mutable_update(), "_step", std::to_string(last.step));
  }
  add_item(*to.mutable_update(), "_runtime", runtime_json(ended_ns));
  wandb::Item& runtime = *to.add_update();
  runtime.add_nested_key("_wandb");
  runtime.add_nested_key("runtime");
  runtime.set_value_json(std::to_string((ended_ns - started_ns_) / kNsPerSecond));
  append(out);
}

void WandbRecords::exit(int32_t code, int64_t ended_ns, std::string& out) {
  record_->mutable_exit()->set_exit_code(code);
  record_->mutable_exit()->set_runtime(
      static_cast<int32_t>((ended_ns - started_ns_) / kNsPerSecond));
  append(out);
  // Some versions of W&B pass the exit on only when this follows.
  record_->mutable_final();
  append(out);
}

}  // namespace ringlog::formats
