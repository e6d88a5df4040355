#include "client/session.h"

#include "client/keep_errno.h"
#include "client/process_facts.h"
#include "shm/failpoint.h"
#include "shm/futex.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ringlog::client {

namespace {

using std::chrono::milliseconds;

std::atomic<uint64_t> g_next_session_id{1};

// Sessions that outlive all who use them: a list that begins in static memory, so that a leak
// checker sees that they are kept on purpose.
Session* g_last_kept = nullptr;

// All sessions of the process that somebody still holds.
struct Sessions {
  HeldMutex mutex;                          // taken after a run's lock and before a session's
  std::vector<std::weak_ptr<Session>> all;  // guarded by mutex
  std::vector<std::shared_ptr<Session>> locked_for_fork;  // between prepare and after
};

// Never destroyed, as the list of runs in process.cc.
Sessions& sessions() {
  static auto* const kSessions = new Sessions;
  return *kSessions;
}

void remember(const std::shared_ptr<Session>& session) {
  Sessions& s = sessions();
  const std::lock_guard lock(s.mutex);
  std::erase_if(s.all, [](const auto& weak) { return weak.expired(); });
  s.all.push_back(session);
}

// Between two tries to find a service again, two to start one, two to reach one that is starting.
constexpr int64_t kRepairPauseMs = 200;
constexpr int kAskAgainMs = 10;
// A large record takes the service a moment also when nothing is full.  One that was too slow is
// given it again after ten times as long, one that was gone when it is seen to be at work.
constexpr milliseconds kUploadWaitMin{1000};
constexpr int64_t kUploadRetryMs = 10'000;

std::string host_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

template <typename List>
void set_list(const std::vector<std::string>& from, List to) {
  for (size_t i = 0; i < from.size(); ++i) to.set(static_cast<capnp::uint>(i), from[i].c_str());
}

void describe_producer(const SessionSpec& spec, schema::ProducerSpec::Builder out) {
  out.setRank(spec.settings.rank);
  out.setAttempt(spec.settings.attempt);
  out.setWorker(spec.worker);
  out.setParentProducer(spec.parent_producer);
  out.setLocalRank(spec.settings.local_rank);
  out.setWorldSize(spec.settings.world_size);
  out.setRingBytes(spec.settings.ring_bytes);
}

void describe_run(const SessionSpec& spec, schema::RunSpec::Builder out) {
  const ResolvedSettings& s = spec.settings;
  out.setRunId(s.run_id.c_str());
  out.setProject(s.project.c_str());
  out.setRoot(s.dir.c_str());
  out.setName(s.name.c_str());
  out.setGroup(s.group.c_str());
  set_list(s.tags, out.initTags(static_cast<capnp::uint>(s.tags.size())));
  out.setNotes(s.notes.c_str());
  out.setDurability(static_cast<uint8_t>(s.durability));
  set_list(s.sinks, out.initSinks(static_cast<capnp::uint>(s.sinks.size())));
  out.setHost(host_name().c_str());
  const auto command =
      s.surroundings == Surroundings::kOff ? std::vector<std::string>() : command_line();
  set_list(command, out.initCommand(static_cast<capnp::uint>(command.size())));
  out.setMode(s.mode.c_str());
  out.setMonitorMs(s.monitor_ms);
  out.setWorkTree(diffed_work_tree(s).c_str());
  describe_producer(spec, out.initProducer());
}

milliseconds left_until(int64_t deadline_ns) {
  return std::max(milliseconds((deadline_ns - shm::monotonic_ns()) / 1'000'000), milliseconds(1));
}

long membarrier(int command) { return ::syscall(SYS_membarrier, command, 0, 0); }

}  // namespace

Result<std::shared_ptr<Session>> Session::open(const SessionSpec& spec, milliseconds timeout) {
  const int64_t deadline = shm::monotonic_ns() + int64_t{timeout.count()} * 1'000'000;
  // More than once, because a service that was about to leave may close the connection on us.
  for (;;) {
    auto control = connect_or_launch(spec.runtime_dir, left_until(deadline));
    if (!control) return control.take_error();
    auto session = attach(spec, std::move(*control), deadline);
    if (session || session.error().code != Code::kServiceGone) return session;
    if (shm::monotonic_ns() > deadline) return session;
    ::poll(nullptr, 0, kAskAgainMs);
  }
}

Result<std::shared_ptr<Session>> Session::attach(const SessionSpec& spec,
                                                 std::unique_ptr<ControlClient> control,
                                                 int64_t deadline_ns) {
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<schema::ControlRequest>();
  if (spec.parent_producer != 0) {
    auto attach = request.initAttach();
    attach.setRunId(spec.settings.run_id.c_str());
    attach.setProject(spec.settings.project.c_str());
    attach.setRoot(spec.settings.dir.c_str());
    describe_producer(spec, attach.initProducer());
  } else {
    describe_run(spec, request.initInformInit());
  }
  RINGLOG_FAILPOINT("before_attach");
  auto answer = control->call(message, {}, left_until(deadline_ns));
  if (!answer) return answer.take_error();
  RINGLOG_FAILPOINT("after_attach");
  auto reply = answer->reply();
  if (!reply.isAttached() || answer->fds().size() != 2) {
    return Error{Code::kCorrupt, "the service's answer to init is not one"};
  }
  auto segment = shm::ClientSegment::map(std::move(answer->fds()[0]));
  if (!segment) return segment.take_error();
  auto doorbell = shm::Doorbell::map(std::move(answer->fds()[1]));
  if (!doorbell) return doorbell.take_error();
  auto attached = reply.getAttached();
  std::shared_ptr<Session> session(
      new Session(spec, std::move(control), std::move(*segment), std::move(*doorbell)));
  session->run_id_ = attached.getRunId().cStr();
  session->run_name_ = attached.getName().cStr();
  session->run_dir_ = attached.getDir().cStr();
  session->segment_name_ = attached.getSegment().cStr();
  session->notice_ = attached.getNotice().cStr();
  session->next_step_ = attached.getNextStep();
  capnp::MallocMessageBuilder start;
  start.initRoot<schema::ControlRequest>().setInformStart(session->run_id_.c_str());
  auto started = session->control_->call(start, {}, left_until(deadline_ns));
  if (!started) return started.take_error();
  RINGLOG_FAILPOINT("after_start");
  remember(session);
  return session;
}

Session::Session(SessionSpec spec, std::unique_ptr<ControlClient> control,
                 std::unique_ptr<shm::ClientSegment> segment,
                 std::unique_ptr<shm::Doorbell> doorbell)
    : spec_(std::move(spec)),
      id_(g_next_session_id.fetch_add(1, std::memory_order_relaxed)),
      segment_(std::move(segment)),
      doorbell_(std::move(doorbell)),
      mailbox_(segment_->slots()),
      control_(std::move(control)),
      launch_(spec_.runtime_dir),
      epoch_(doorbell_->page().epoch.load(std::memory_order_relaxed)) {
  membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
  // So that a thread that ends can give its ring back without memory.
  free_rings_.reserve(shm::kRingCount);
}

ThreadRing* Session::make_ring(uint32_t index) {
  shm::RingWriter writer(segment_->ring_producer(index), segment_->ring_consumer(index),
                         segment_->ring_data(index), segment_->header().rings[index].capacity,
                         doorbell_->page());
  rings_[index] = std::make_unique<ThreadRing>(writer, index);
  return rings_[index].get();
}

ThreadRing* Session::take_ring() {
  const std::lock_guard lock(rings_mutex_);
  if (!free_rings_.empty()) {
    ThreadRing* ring = free_rings_.back();
    free_rings_.pop_back();
    return ring;
  }
  if (ring_count_ < shm::kSharedRing) {
    ThreadRing* const ring = make_ring(ring_count_);
    ++ring_count_;
    return ring;
  }
  if (!rings_[shm::kSharedRing]) make_ring(shm::kSharedRing);
  return rings_[shm::kSharedRing].get();
}

void Session::return_ring(ThreadRing* ring) {
  if (ring->is_shared) return;
  const std::lock_guard lock(rings_mutex_);
  free_rings_.push_back(ring);
}

std::byte* Session::reserve_or_wait(ThreadRing& ring, uint32_t bytes,
                                    std::chrono::nanoseconds timeout) {
  std::byte* at = ring.writer.try_reserve(bytes);
  const int64_t deadline = shm::monotonic_ns() + timeout.count();
  while (at == nullptr) {
    check_service();
    const int64_t left = deadline - shm::monotonic_ns();
    if (left <= 0) break;
    // A ring is busy while its thread logs; who closes the run is not logging.
    if (is_closing_.load(std::memory_order_relaxed) && !is_quiet(ring)) break;
    // In slices, so that a service that dies meanwhile is noticed and started again.
    constexpr int64_t kSliceNs = 100'000'000;
    at = ring.writer.wait_reserve(bytes, std::chrono::nanoseconds(std::min(left, kSliceNs)));
  }
  return at;
}

bool Session::is_heartbeat_fresh() const {
  const shm::DoorbellPage& page = doorbell_->page();
  return shm::monotonic_coarse_ms() - page.heartbeat_ms.load(std::memory_order_relaxed) <
         shm::kServiceSilenceMs;
}

bool Session::is_service_there() {
  if (is_heartbeat_fresh()) return true;
  // Somebody who asks the service something finds out by himself, and may take his time for it.
  const std::unique_lock lock(control_mutex_, std::try_to_lock);
  return !lock || (control_ != nullptr && control_->is_alive());
}

void Session::check_service() noexcept {
  // A plain hint: a wrong answer costs one more look in 200 ms.
  const uint32_t epoch = doorbell_->page().epoch.load(std::memory_order_relaxed);
  const std::unique_lock lock(control_mutex_, std::try_to_lock);
  if (!lock || (is_heartbeat_fresh() && epoch == epoch_)) return;
  const int64_t now = shm::monotonic_coarse_ms();
  if (now < next_repair_ms_) return;
  next_repair_ms_ = now + kRepairPauseMs;
  const KeepErrno errno_kept;
  segment_name_.empty() ? look_for_unnamed_segment() : look_for_named_segment();
}

// A new service finds the segment by its name, so this process need not even connect to it; who
// has to ask it something will.
void Session::look_for_named_segment() noexcept {
  if (is_heartbeat_fresh()) {
    epoch_ = doorbell_->page().epoch.load(std::memory_order_relaxed);
    return;
  }
  if (control_ && control_->is_alive()) return;  // only slow, or stopped by somebody
  launch_.start();
}

void Session::look_for_unnamed_segment() noexcept {
  try {
    reconnect_locked();
  } catch (const std::exception&) {
    // For want of memory; the next look tries again.
  }
}

void Session::reconnect_locked() {
  if (control_ && control_->is_alive()) return;  // only slow, or stopped by somebody
  control_.reset();
  auto control = ControlClient::connect(spec_.runtime_dir);
  if (!control) {
    // Nobody can be told here; the next look tries again and finish() reports what is missing.
    const int64_t now = shm::monotonic_coarse_ms();
    if (control.error().code != Code::kServiceGone || now < next_launch_ms_) return;
    next_launch_ms_ = now + kRepairPauseMs;
    launch_.start();
    return;
  }
  const uint32_t epoch = doorbell_->page().epoch.load(std::memory_order_relaxed);
  // Of a segment with a name there is nothing to tell: the new service has found it.
  if (segment_name_.empty() && !hand_segment_over(**control)) return;
  // Only now, or a service that could not take the segment would never be asked again.
  control_ = std::move(*control);
  epoch_ = epoch;
}

bool Session::hand_segment_over(ControlClient& service) const {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::ControlRequest>().initResume();
  const int fd = segment_->fd();
  return static_cast<bool>(service.call(message, std::span(&fd, 1), milliseconds(500)));
}

Result<ControlClient*> Session::control_locked(int64_t deadline_ns) {
  for (;;) {
    reconnect_locked();
    if (control_) return control_.get();
    if (shm::monotonic_ns() >= deadline_ns) {
      return Error{Code::kServiceGone, "the service cannot be reached"};
    }
    // A service that is starting listens within some tens of milliseconds.
    ::poll(nullptr, 0, kAskAgainMs);
  }
}

Result<ControlAnswer> Session::call_locked(capnp::MallocMessageBuilder& request,
                                           std::span<const int> fds, milliseconds timeout) {
  const int64_t deadline = shm::monotonic_ns() + int64_t{timeout.count()} * 1'000'000;
  for (;;) {
    auto control = control_locked(deadline);
    if (!control) return control.take_error();
    auto answer = (*control)->call(request, fds, left_until(deadline));
    if (answer) return answer;
    // A service that dies under the question leaves it to the next one.
    const bool is_gone = answer.error().code == Code::kServiceGone;
    if (!is_gone || shm::monotonic_ns() >= deadline) return answer;
    ::poll(nullptr, 0, kAskAgainMs);
  }
}

bool Session::is_upload_hopeless_locked() const {
  if (next_upload_ms_ == 0) return false;
  return !is_heartbeat_fresh() || shm::monotonic_coarse_ms() < next_upload_ms_;
}

Result<uint64_t> Session::upload_blob(std::span<const std::byte> bytes, milliseconds wait) {
  if (bytes.size() > shm::kBlobSizeMax) {
    return Error{Code::kTooLarge, "a record of " + std::to_string(bytes.size()) + " bytes; " +
                                      std::to_string(shm::kBlobSizeMax) + " are allowed"};
  }
  auto file = shm::create_memfd("ringlog-record");
  if (!file) return file.take_error();
  if (Status s = shm::write_all(file->get(), bytes, "record"); !s) return s.take_error();
  ::fcntl(file->get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
  std::unique_lock lock(control_mutex_);
  const bool is_hopeless = is_upload_hopeless_locked();
  if (is_hopeless && wait <= milliseconds(0)) {
    lock.unlock();
    check_service();
    return Error{Code::kServiceGone, "the service did not answer the last time"};
  }
  const milliseconds timeout = is_hopeless ? wait : std::max(wait, kUploadWaitMin);
  capnp::MallocMessageBuilder message;
  auto blob = message.initRoot<schema::ControlRequest>().initBlob();
  blob.setRunId(run_id_.c_str());
  blob.setProducer(producer_id());
  // Never used again: a question given up may be answered behind the next one.
  const uint64_t id = next_blob_id_++;
  blob.setId(id);
  blob.setSize(bytes.size());
  blob.setDir(run_dir_.c_str());
  const int fd = file->get();
  RINGLOG_FAILPOINT("before_blob");
  // Asked again of the next service under the same id: what the last one kept is written over.
  auto answer = call_locked(message, std::span(&fd, 1), timeout);
  const Code code = answer ? Code::kIo : answer.error().code;
  next_upload_ms_ = code == Code::kServiceGone ? shm::monotonic_coarse_ms()
                    : code == Code::kTimeout   ? shm::monotonic_coarse_ms() + kUploadRetryMs
                                               : 0;
  if (!answer) return answer.take_error();
  RINGLOG_FAILPOINT("after_blob");
  return id;
}

Result<std::string> Session::fetch_reply(const shm::Mailbox::Claim& claim, milliseconds timeout) {
  const std::lock_guard lock(control_mutex_);
  capnp::MallocMessageBuilder message;
  auto fetch = message.initRoot<schema::ControlRequest>().initFetchReply();
  fetch.setSlot(claim.slot);
  fetch.setWord(claim.word);
  auto answer = call_locked(message, {}, timeout);
  if (!answer) return answer.take_error();
  if (answer->fds().size() != 1) return Error{Code::kCorrupt, "the service sent no reply"};
  auto size = shm::file_size(answer->fds()[0].get(), "reply");
  if (!size) return size.take_error();
  if (*size > shm::kBlobSizeMax) return Error{Code::kTooLarge, "the service's reply is too large"};
  std::string bytes(*size, '\0');
  if (Status s = shm::read_at(answer->fds()[0].get(), std::as_writable_bytes(std::span(bytes)), 0,
                              "reply");
      !s) {
    return s.take_error();
  }
  return bytes;
}

uint64_t Session::attempted_rows() const {
  const std::lock_guard lock(rings_mutex_);
  uint64_t sum = 0;
  for (const auto& ring : rings_) sum += ring ? ring->writer.next_seq() : 0;
  return sum;
}

uint64_t Session::dropped_rows() const {
  const std::lock_guard lock(rings_mutex_);
  uint64_t sum = 0;
  for (uint32_t i = 0; i < shm::kRingCount; ++i) {
    if (rings_[i]) {
      sum += segment_->ring_producer(i).dropped_rows.load(std::memory_order_relaxed);
    }
  }
  return sum;
}

void Session::count_lost_record() {
  segment_->producer().lost_records.fetch_add(1, std::memory_order_relaxed);
}

void Session::quiesce(int64_t deadline_ns) {
  is_closing_.store(true, std::memory_order_relaxed);
  // ORDER busy: a thread stores busy, then reads the session's id; we changed the id before.  The
  // barrier on all our threads makes either the new id visible to it or its busy visible to us.
  if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0) ::poll(nullptr, 0, 1);
  const int64_t deadline = std::min(deadline_ns, shm::monotonic_ns() + 1'000'000'000);
  const std::lock_guard lock(rings_mutex_);
  for (const auto& ring : rings_) {
    while (ring && !is_quiet(*ring) && shm::monotonic_ns() < deadline) ::poll(nullptr, 0, 1);
  }
}

ThreadRing* Session::quiet_ring(ThreadRing* wanted) const {
  if (is_quiet(*wanted)) return wanted;
  const std::lock_guard lock(rings_mutex_);
  for (const auto& ring : rings_) {
    if (ring && is_quiet(*ring)) return ring.get();
  }
  return nullptr;
}

void Session::record_exit(int exit_code) {
  shm::ProducerWords& words = segment_->producer();
  words.exit_code.store(exit_code, std::memory_order_relaxed);
  RINGLOG_FAILPOINT("in_exit_word");
  // ORDER exit: publishes the code; the service reads the state with acquire.
  words.exit_state.store(1, std::memory_order_release);
  shm::ring_doorbell(doorbell_->page());
  check_service();
}

void Session::lock_for_fork() {
  control_mutex_.lock();
  rings_mutex_.lock();
}

void Session::unlock_after_fork() {
  rings_mutex_.unlock();
  control_mutex_.unlock();
}

void Session::lock_all_for_fork() {
  Sessions& s = sessions();
  s.mutex.lock();
  for (const auto& weak : s.all) {
    if (auto session = weak.lock()) s.locked_for_fork.push_back(std::move(session));
  }
  for (const auto& session : s.locked_for_fork) session->lock_for_fork();
}

void Session::unlock_all_after_fork(bool is_child) {
  Sessions& s = sessions();
  for (const auto& session : s.locked_for_fork) {
    session->unlock_after_fork();
    if (is_child) leave_behind(session);
  }
  if (is_child) s.all.clear();
  // The last reference may go here, without the lock.
  const auto locked = std::exchange(s.locked_for_fork, {});
  s.mutex.unlock();
}

void Session::leave_behind(std::shared_ptr<Session> session) noexcept {
  Session& left = *session;
  left.is_left_behind_ = true;
  left.control_.reset();
  left.segment_->close_file();
  left.doorbell_->close_file();
  left.kept_before_ = std::exchange(g_last_kept, &left);
  left.itself_ = std::move(session);
}

bool Session::is_retired() const {
  // Once everything is settled the service removes the file.  Anonymous memory never had a name.
  struct stat info {};
  return !segment_name_.empty() && ::fstat(segment_->fd(), &info) == 0 && info.st_nlink == 0;
}

std::optional<size_t> Session::take_notice(shm::NoticeText& text) {
  // Never waits: log() may be in a signal handler that came into the middle of this.
  const std::unique_lock lock(notice_mutex_, std::try_to_lock);
  if (!lock) return std::nullopt;
  return shm::read_notice(segment_->service().notice, seen_notice_, text);
}

}  // namespace ringlog::client
