#include "client/run_core.h"

#include "client/exec_place.h"
#include "client/pending_reply.h"
#include "client/process.h"
#include "client/process_facts.h"
#include "client/runtime_dir.h"
#include "client/standard_error.h"
#include "shm/failpoint.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <exception>
#include <new>
#include <stdexcept>

namespace ringlog::detail {

using client::Session;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

namespace {

// Longest wait for a service that hangs while it starts; more than the ten seconds that one which
// ends may take for storing what there is, because the next cannot start before.
constexpr milliseconds kInitTimeout{12'000};

// A path with what could move a terminal's cursor made visible.
std::string plain(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
  }
  return text;
}

// A forked child attaches in the middle of somebody's work, so it waits less.
constexpr milliseconds kChildAttachTimeout{2'000};
// What it does not get it asks for again, after a pause that doubles up to this: its rows until
// then are counted as dropped once it has a segment.
constexpr milliseconds kChildRetryMin{1'000};
constexpr milliseconds kChildRetryMax{60'000};

}  // namespace

RunCore::RunCore(Error why, client::Console console) : error_(std::move(why)) {
  spec_.settings.console = console;
  if (error_.code != Code::kOk) say("logging is disabled: " + error_.message);
}

Result<std::shared_ptr<RunCore>> RunCore::open(client::ResolvedSettings settings, uint32_t worker) {
  if (settings.mode == "disabled") return std::make_shared<RunCore>(Error{});
  auto core = std::make_shared<RunCore>(Error{});
  core->spec_ = {std::move(settings), client::runtime_dir(), worker, 0};
  if (core->spec_.settings.in_process) {
    auto service = client::InProcess::share();
    if (!service) return service.take_error();
    core->spec_.runtime_dir = (*service)->runtime_dir();
    core->in_process_ = std::move(*service);
    client::watch_exit_with_service();
  }
  const client::ResolvedSettings& s = core->spec_.settings;
  if (s.full_ring == FullRing::kWait) core->row_wait_ = milliseconds(s.full_ring_wait_ms);
  auto session = Session::open(core->spec_, kInitTimeout);
  if (!session) return session.take_error();
  if (!(*session)->notice().empty()) core->say((*session)->notice());
  core->id_ = (*session)->run_id();
  core->name_ = (*session)->run_name();
  core->dir_ = (*session)->run_dir();
  core->rank_ = (*session)->rank();
  core->attempt_ = (*session)->attempt();
  core->say_notices();
  core->next_step_.store((*session)->next_step(), std::memory_order_relaxed);
  {
    const std::lock_guard lock(core->mutex_);
    core->adopt(std::move(*session));
  }
  client::watch_process_events(core);
  core->publish_process();
  core->say_begin();
  return core;
}

// Once for a job, or for each machine of one.
void RunCore::say_notices() const {
  const client::ResolvedSettings& s = spec_.settings;
  if (rank_ != 0 && s.local_rank != 0) return;
  for (const std::string& notice : s.notices) say(notice);
  if (attempt_ > 0 && !s.rejoined.empty()) {
    say("this is attempt " + std::to_string(attempt_) + " of rank " + std::to_string(rank_) +
        " of run " + id_ + ": " + s.rejoined);
  }
}

void RunCore::publish_process() noexcept {
  const auto open = session();
  if (!open) return;
  try {
    const auto facts = client::process_facts(spec_.settings);
    const record::Words words = record::encode_process(facts, shm::realtime_ns());
    // The thread that opens the run may never log: its ring stays for one that does.
    const auto give_back = [&](client::ThreadRing* ring) { open->return_ring(ring); };
    const std::unique_ptr<client::ThreadRing, decltype(give_back)> ring(open->take_ring(),
                                                                        give_back);
    if (!write_record(*open, *ring, words, 0, ring->writer.next_seq(), record_wait())) {
      open->count_lost_record();
    }
  } catch (const std::exception& e) {
    refuse("what surrounds the process", e);
  }
}

std::shared_ptr<RunCore> RunCore::open_always(const client::SettingFields& arguments) {
  auto settings = client::resolve_settings(arguments);
  Error why;
  client::FailureSettings how;
  if (settings) {
    how = {settings->console, settings->strict};
    auto core = open(std::move(*settings), 0);
    if (core) return std::move(*core);
    why = std::move(core.take_error()).in("init");
  } else {
    how = client::failure_settings(arguments);
    why = std::move(settings.take_error()).in("init: settings");
  }
  if (how.strict) throw std::runtime_error("ringlog: " + why.message);
  return std::make_shared<RunCore>(std::move(why), how.console);
}

Run RunCore::make_run(std::shared_ptr<RunCore> core) { return Run(std::move(core)); }

RunCore::~RunCore() {
  if (session_id() != 0) finish(std::uncaught_exceptions() > 0 ? 1 : 0, kFinishWait, true);
}

// Requires mutex_.
void RunCore::adopt(std::shared_ptr<Session> session) {
  session_ = std::move(session);
  service_words_.store(&session_->service_words(), std::memory_order_relaxed);
  producer_words_.store(&session_->producer_words(), std::memory_order_relaxed);
  session_id_.store(session_->id(), std::memory_order_relaxed);
}

std::shared_ptr<Session> RunCore::session() const {
  if (client::HeldMutex::any_is_mine()) return nullptr;
  const std::lock_guard lock(mutex_);
  return session_id() == 0 ? nullptr : session_;
}

std::shared_ptr<Session> RunCore::attach_child() {
  const std::lock_guard lock(mutex_);
  if (session_id() != 0) return session_;  // another thread was quicker
  if (!is_child_ || shm::monotonic_coarse_ms() < next_attach_ms_) return nullptr;
  attach_pause_ = std::clamp(attach_pause_ * 2, kChildRetryMin, kChildRetryMax);
  next_attach_ms_ = shm::monotonic_coarse_ms() + attach_pause_.count();
  client::SessionSpec spec = spec_;
  spec.settings.run_id = id_;
  spec.settings.rank = rank_;
  spec.settings.attempt = attempt_;
  spec.worker = 0;  // the service numbers the children of a rank
  auto session = Session::open(spec, kChildAttachTimeout);
  if (!session) {
    // From now on, because the try itself may have taken as long as the pause.
    next_attach_ms_ = shm::monotonic_coarse_ms() + attach_pause_.count();
    error_ = std::move(session.take_error()).in("attach a forked child");
    if (attach_pause_ > kChildRetryMin) return nullptr;  // it has been said
    say("process " + std::to_string(::getpid()) + " cannot log yet: " + error_.message);
    return nullptr;
  }
  is_child_ = false;
  RINGLOG_FAILPOINT("after_child_attach");
  adopt(std::move(*session));
  return session_;
}

bool RunCore::should_stop() const noexcept {
  const shm::ServiceWords* words = service_words_.load(std::memory_order_relaxed);
  return words != nullptr && words->stop_requested.load(std::memory_order_relaxed) != 0;
}

// Says where this rank is before it looks what was agreed on, so that either the service sees the
// step or this look sees the agreement.
const shm::ServiceWords* RunCore::tell_step(uint64_t step) noexcept {
  shm::ProducerWords* const mine = producer_words_.load(std::memory_order_relaxed);
  // ORDER agree: seq_cst, with the service's store of the agreed step and its second look here.
  if (mine != nullptr) mine->step.store(step + 1, std::memory_order_seq_cst);
  return service_words_.load(std::memory_order_relaxed);
}

bool RunCore::should_stop(uint64_t step) noexcept {
  const shm::ServiceWords* words = tell_step(step);
  if (words == nullptr) return false;
  // ORDER agree: after the step was told.
  const uint64_t agreed = words->stop_step.load(std::memory_order_seq_cst);
  return agreed != 0 && step + 1 >= agreed;
}

bool RunCore::should_checkpoint(uint64_t step) noexcept {
  const shm::ServiceWords* words = tell_step(step);
  if (words == nullptr) return false;
  // ORDER agree: after the step was told.
  const uint64_t agreed = words->checkpoint_step.load(std::memory_order_seq_cst);
  if (agreed == 0 || step + 1 < agreed) return false;
  if (done_checkpoint_.load(std::memory_order_relaxed) == agreed) return false;
  // Of threads that ask at the same time one is told.
  return done_checkpoint_.exchange(agreed, std::memory_order_relaxed) != agreed;
}

SyncStatus RunCore::sync_status() const noexcept {
  SyncStatus status;
  const std::shared_ptr<Session> open = [this] {
    const std::lock_guard lock(mutex_);
    return session_;
  }();
  if (!open) return status;
  const shm::ServiceWords& words = open->service_words();
  // The later levels first, so that none is ahead of an earlier one.
  status.sent = words.sent_rows.load(std::memory_order_relaxed);
  status.synced = words.synced_rows.load(std::memory_order_relaxed);
  status.stored = words.stored_rows.load(std::memory_order_relaxed);
  status.dropped = open->dropped_rows();
  status.attempted = open->attempted_rows();
  const uint32_t network = words.network_state.load(std::memory_order_relaxed);
  status.network = static_cast<NetworkState>(network <= 3 ? network : 0);
  return status;
}

void RunCore::look_at_service(Session& session) noexcept {
  session.check_service();
  shm::NoticeText text;
  if (const auto size = session.take_notice(text)) say({text.data(), *size});
}

void RunCore::say(std::string_view text) const noexcept {
  if (spec_.settings.console == client::Console::kOff) return;
  client::say_on_stderr(text);
}

bool RunCore::is_talkative() const noexcept {
  return spec_.settings.console == client::Console::kAuto && rank_ == 0 && spec_.worker == 0 &&
         spec_.parent_producer == 0;
}

void RunCore::say_begin() const noexcept {
  // `ringlog exec` around this program has said it.
  if (!is_talkative()) return;
  try {
    const auto outer = client::read_exec_place();
    if (outer && outer->run_id == id_) return;
    const auto origin = spec_.settings.origin.find("dir");
    const bool is_hidden = origin != spec_.settings.origin.end() && origin->second == "argument";
    say("run " + id_ + " in " + plain(dir_) + "\n  watch it: ringlog tail -f " +
        (is_hidden ? plain(dir_) : id_));
  } catch (const std::exception&) {
    // Without memory for a line there is none.
  }
}

void RunCore::refuse(const char* what, const std::exception& error) noexcept {
  try {
    refuse({Code::kIo, std::string(what) + ": " + error.what()});
  } catch (const std::exception&) {
    // Counted all the same, by whoever called.
  }
}

void RunCore::refuse(Error error) noexcept {
  try {
    if (!has_spoken_.exchange(true, std::memory_order_relaxed)) {
      say(error.message + " (further ones are only counted)");
    }
  } catch (const std::exception&) {
    // Without memory for a sentence error() tells it.
  }
  // In a signal handler that came into the middle of error(): it has been said, that is all.
  if (client::HeldMutex::any_is_mine()) return;
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
}

Error RunCore::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

void RunCore::on_process_exit(int status) noexcept {
  exit_status_.store(status, std::memory_order_relaxed);
  const auto open = session();
  if (open) open->record_exit(status);
}

void RunCore::finish_with_service(int status) noexcept {
  if (in_process_ && session_id() != 0) finish(status, kFinishWait);
}

std::optional<int> RunCore::exit_status() const noexcept {
  const int64_t status = exit_status_.load(std::memory_order_relaxed);
  if (status == INT64_MIN) return std::nullopt;
  return static_cast<int>(status);
}

void RunCore::before_fork() noexcept {
  alert_limits_.lock_for_fork();
  mutex_.lock();
  unlogged_before_fork_ = unlogged_rows_.load(std::memory_order_relaxed);
}

void RunCore::after_fork(bool is_child) noexcept {
  if (is_child) {
    next_attach_ms_ = 0;
    attach_pause_ = milliseconds(0);
    // The parent counts those, also if it is itself a child that waits for its first segment.
    unlogged_rows_.fetch_sub(unlogged_before_fork_, std::memory_order_relaxed);
    if (session_) leave_session();
    new (&finish_mutex_) std::mutex;
  }
  mutex_.unlock();
  alert_limits_.unlock_after_fork();
}

// In a forked child: the segment is not mapped here.
void RunCore::leave_session() noexcept {
  is_child_ = session_id() != 0;
  spec_.parent_producer = session_->producer_id();
  session_.reset();
  service_words_.store(nullptr, std::memory_order_relaxed);
  producer_words_.store(nullptr, std::memory_order_relaxed);
  session_id_.store(0, std::memory_order_relaxed);
}

}  // namespace ringlog::detail
