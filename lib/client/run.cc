#include <ringlog/run.h>

#include "client/run_core.h"
#include "record/path.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

namespace ringlog {

using detail::RunCore;
using record::RequestKind;

namespace {

std::span<const Item> as_span(std::initializer_list<Item> items) {
  return {items.begin(), items.size()};
}

template <typename T>
Handle<T> as_handle(Result<std::unique_ptr<detail::PendingReply>> pending) {
  if (!pending) return Handle<T>(pending.take_error());
  return Handle<T>(std::move(*pending));
}

// Checks what a record would hold, then publishes it; a refusal is said and kept.
template <typename Encode>
void publish_items(RunCore& core, const char* what, std::span<const Item> items,
                   Encode encode) noexcept {
  try {
    if (Status s = record::check_items(items); !s) {
      return core.refuse(std::move(s.take_error()).in(what));
    }
    static_cast<void>(core.publish(encode(items, shm::realtime_ns())));
  } catch (const std::exception& e) {
    core.refuse(what, e);
  }
}

Status check_summary(const std::vector<std::string>& names) {
  constexpr std::array<std::string_view, 6> kNames{"last", "first", "min", "max", "mean", "none"};
  for (const std::string& name : names) {
    if (std::find(kNames.begin(), kNames.end(), name) != kNames.end()) continue;
    return Error{Code::kInvalidArgument,
                 "summary \"" + name + "\"; allowed are last, first, min, max, mean, none"};
  }
  return Done{};
}

}  // namespace

void Row::log_cells(uint64_t step, std::span<const double> cells) noexcept {
  core_->run->log_row(*core_, step, cells);
}

Run::Run() : core_(std::make_shared<RunCore>(Error{})) {}
Run::Run(std::shared_ptr<RunCore> core) : core_(std::move(core)) {}
Run::Run(Run&&) noexcept = default;

Run& Run::operator=(Run&& other) noexcept {
  if (this != &other) {
    Run old(std::move(core_));
    core_ = std::move(other.core_);
  }
  return *this;
}

Run::~Run() {
  if (!core_) return;
  // A run in a global goes after main(): what exit() was told counts.
  if (const auto status = core_->exit_status()) {
    finish(*status);
  } else {
    core_->finish(std::uncaught_exceptions() > 0 ? 1 : 0, detail::kFinishWait, true);
  }
}

void Run::log(std::initializer_list<Item> items, LogOptions options) noexcept {
  core_->log_items(as_span(items), options);
}
void Run::log(std::span<const Item> items, LogOptions options) noexcept {
  core_->log_items(items, options);
}

Row Run::row(std::initializer_list<std::string_view> keys) {
  return row(std::span<const std::string_view>(keys.begin(), keys.size()));
}

Row Run::row(std::span<const std::string_view> keys) {
  auto row = std::make_shared<detail::RowCore>();
  row->run = core_;
  std::set<std::string_view> seen;
  Status checked = Done{};
  for (const std::string_view key : keys) {
    if (checked) checked = record::check_key(key);
    if (checked && !seen.insert(key).second) {
      checked = Error{Code::kInvalidArgument, "a key is given twice"};
    }
    row->keys.emplace_back(key);
  }
  if (checked && keys.size() > record::kTemplateKeysMax) {
    checked = Error{Code::kTooLarge, std::to_string(keys.size()) + " keys; " +
                                         std::to_string(record::kTemplateKeysMax) + " are allowed"};
  }
  row->is_refused = !checked;
  if (!checked) core_->refuse(std::move(checked.take_error()).in("row: its rows are dropped"));
  row->ordinal = core_->row_ordinal(row->keys);
  return Row(std::move(row));
}

void Run::config(std::initializer_list<Item> items) noexcept { config(as_span(items)); }
void Run::config(std::span<const Item> items) noexcept {
  publish_items(*core_, "config", items, record::encode_config);
}
void Run::summary(std::initializer_list<Item> items) noexcept { summary(as_span(items)); }
void Run::summary(std::span<const Item> items) noexcept {
  publish_items(*core_, "summary", items, record::encode_summary);
}

void Run::define_metric(std::string_view name, const MetricOptions& options) noexcept {
  try {
    if (Status s = record::check_key(name); !s) {
      return core_->refuse(std::move(s.take_error()).in("define_metric"));
    }
    if (Status s = check_summary(options.summary); !s) {
      return core_->refuse(std::move(s.take_error()).in("define_metric " + std::string(name)));
    }
    static_cast<void>(core_->publish(record::encode_metric(name, options, shm::realtime_ns())));
  } catch (const std::exception& e) {
    core_->refuse("define_metric", e);
  }
}

void Run::alert(std::string_view title, std::string_view text, AlertLevel level,
                std::chrono::nanoseconds min_interval) noexcept {
  std::optional<client::AlertLimits::Turn> turn;
  try {
    if (!record::is_utf8(title) || !record::is_utf8(text)) {
      return core_->refuse({Code::kInvalidArgument, "alert: title or text is not UTF-8"});
    }
    turn = core_->alert_limits().take(title, min_interval, shm::monotonic_ns());
    if (!turn) return;
    std::string whole(text);
    if (turn->held > 0)
      whole += " (and " + std::to_string(turn->held) + " more since the last one)";
    const auto wait = turn->is_retry ? std::chrono::nanoseconds(0) : core_->record_wait();
    if (core_->publish(record::encode_alert(title, whole, level, shm::realtime_ns()), wait)) return;
  } catch (const std::exception& e) {
    core_->refuse("alert", e);
  }
  if (turn) core_->alert_limits().put_back(title, *turn);
}

void Run::console(std::string_view bytes, bool is_stderr) noexcept {
  // In pieces that fit a ring record, so that a burst of output never needs the control socket.
  constexpr size_t kPieceMax = 32 * 1024;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kPieceMax))) {
    try {
      core_->publish_output(
          record::encode_console(bytes.substr(0, kPieceMax), is_stderr, shm::realtime_ns()));
    } catch (const std::exception& e) {
      core_->refuse("console", e);
    }
  }
}

Handle<Positions> Run::flush(Durability level) {
  return as_handle<Positions>(core_->deliver({.kind = RequestKind::kFlush, .durability = level}));
}
Handle<RunInfo> Run::deliver_run() {
  return as_handle<RunInfo>(core_->deliver({.kind = RequestKind::kRunInfo}));
}
Handle<std::string> Run::deliver_summary() {
  return as_handle<std::string>(core_->deliver({.kind = RequestKind::kSummary}));
}
Handle<FinishReport> Run::deliver_finish(int exit_code) {
  return as_handle<FinishReport>(core_->start_finish(exit_code));
}

bool Run::should_stop() const noexcept { return core_->should_stop(); }
bool Run::should_stop(uint64_t step) noexcept { return core_->should_stop(step); }
bool Run::should_checkpoint(uint64_t step) noexcept { return core_->should_checkpoint(step); }
SyncStatus Run::sync_status() const noexcept { return core_->sync_status(); }

FinishReport Run::finish(int exit_code, std::chrono::nanoseconds timeout) {
  return core_->finish(exit_code, timeout);
}

const std::string& Run::id() const noexcept { return core_->id(); }
const std::string& Run::name() const noexcept { return core_->name(); }
const std::string& Run::dir() const noexcept { return core_->dir(); }
int32_t Run::rank() const noexcept { return core_->rank(); }
int32_t Run::attempt() const noexcept { return core_->attempt(); }
bool Run::ok() const noexcept { return core_->session_id() != 0; }
Error Run::error() const { return core_->error(); }

Result<Run> try_init(const Settings& settings) {
  auto resolved = client::resolve_settings(client::argument_fields(settings));
  if (!resolved) return std::move(resolved.take_error()).in("init: settings");
  auto core = RunCore::open(std::move(*resolved), 0);
  if (!core) return std::move(core.take_error()).in("init");
  return RunCore::make_run(std::move(*core));
}

Run init(const Settings& settings) {
  return RunCore::make_run(RunCore::open_always(client::argument_fields(settings)));
}

}  // namespace ringlog
