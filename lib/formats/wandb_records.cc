#include "formats/wandb_records.h"

#include <utility>

#include "formats/utf8.h"
#include "formats/wandb.pb.h"
#include "store/row_json.h"

namespace ringlog::formats {

namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
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

// The items of a row or a summary; `Messages` is where they go.
template <typename Messages>
void add_items(Messages& messages, std::vector<WandbItem> items) {
  for (WandbItem& from : items) {
    wandb::Item& item = *messages.Add();
    for (std::string& key : from.keys) item.add_nested_key(std::move(key));
    item.set_value_json(std::move(from.json));
  }
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

WandbRecords::WandbRecords() : record_(std::make_unique<wandb::Record>()) {}
WandbRecords::~WandbRecords() = default;

void WandbRecords::append(std::string& out) {
  record_->set_num(++count_);
  bytes_.clear();
  record_->AppendToString(&bytes_);
  log_.append(bytes_, out);
  record_->Clear();
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
  if (const std::string image = image_of(process); !image.empty()) to.set_docker(image);
  for (auto& [name, value] : slurm_of(process)) {
    wandb::NamedText& entry = *to.add_slurm();
    entry.set_key(name);
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
  for (WandbItem& from : stats_items(names, values)) {
    wandb::Stats::StatsItem& item = *to.add_item();
    item.set_key(from.keys.front());
    item.set_value_json(std::move(from.json));
  }
  append(out);
}

void WandbRecords::history(const MergedRow& row, std::span<const MergedColumn> columns,
                           std::string& out) {
  wandb::History& to = *record_->mutable_history();
  add_items(*to.mutable_item(), history_items(row, columns, started_ns_));
  to.mutable_step()->set_num(static_cast<int64_t>(row.step));
  append(out);
}

void WandbRecords::summary(std::span<const WandbItem> items, const MergedRow& last,
                           int64_t ended_ns, std::string& out) {
  std::vector<WandbItem> all =
      summary_items({items.begin(), items.end()}, last, started_ns_, ended_ns);
  add_items(*record_->mutable_summary()->mutable_update(), std::move(all));
  append(out);
}

void WandbRecords::exit(int32_t code, int64_t ended_ns, std::string& out) {
  record_->mutable_exit()->set_exit_code(code);
  record_->mutable_exit()->set_runtime(static_cast<int32_t>(runtime_s(started_ns_, ended_ns)));
  append(out);
  // Some versions of W&B pass the exit on only when this follows.
  record_->mutable_final();
  append(out);
}

}  // namespace ringlog::formats
