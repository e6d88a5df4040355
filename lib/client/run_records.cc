// RunCore: records that are not rows of numbers, and requests, on their way into the ring.

#include "client/pending_reply.h"
#include "client/ring_use.h"
#include "client/run_core.h"
#include "shm/failpoint.h"

#include <algorithm>
#include <cstring>

namespace ringlog::detail {

using client::Session;
using client::ThreadRing;

namespace {

// What always gets through (config, alerts, requests, exits) waits at least this long for room.
constexpr std::chrono::seconds kRecordWaitMin{1};

}  // namespace

std::chrono::nanoseconds RunCore::record_wait() const {
  return std::max<std::chrono::nanoseconds>(row_wait_, kRecordWaitMin);
}

std::chrono::nanoseconds RunCore::record_wait_until(int64_t deadline_ns) const {
  const std::chrono::nanoseconds left(deadline_ns - shm::monotonic_ns());
  return std::clamp<std::chrono::nanoseconds>(left, std::chrono::nanoseconds(0), record_wait());
}

void RunCore::settle_pending(Session& session, ThreadRing& ring,
                             std::chrono::nanoseconds timeout) noexcept {
  if (client::is_ring_poisoned(session, ring.index)) {
    // What is kept counts as dropped, and stays so; of what stands in the ring only we know.
    ring.writer.tell_attempts();
    return ring.pending.drop();
  }
  if (ring.pending.is_empty()) return;
  const int64_t deadline = shm::monotonic_ns() + timeout.count();
  while (!ring.pending.write(ring.writer) && shm::monotonic_ns() < deadline) {
    session.reserve_or_wait(ring, shm::kRecordSizeMax,
                            std::chrono::nanoseconds(deadline - shm::monotonic_ns()));
  }
  ring.pending.drop();
}

bool RunCore::write_for_row(ThreadRing& ring, const record::Words& words, uint8_t flags,
                            uint64_t seq) noexcept {
  Session* const open = client::session_of(ring);
  if (open == nullptr) return false;
  const auto bytes = static_cast<uint32_t>(
      std::min<size_t>(shm::record_bytes(words.size() * 8), shm::kRecordSizeMax));
  if (ring.is_stalled && make_room(ring, bytes) == nullptr) return false;
  try {
    if (write_record(*open, ring, words, flags, seq, row_wait_)) return true;
  } catch (const std::exception& e) {
    refuse("log: a record is dropped", e);
  }
  // What is kept from before comes first, so the next row takes the slow way too.
  ring.is_stalled = !ring.pending.is_empty() || ring.writer.try_reserve(bytes) == nullptr;
  return false;
}

bool RunCore::write_record(Session& session, ThreadRing& ring, const record::Words& words,
                           uint8_t flags, uint64_t seq, std::chrono::nanoseconds timeout) {
  if (client::is_ring_poisoned(session, ring.index)) {
    refuse(client::poisoned_ring_error());
    return false;
  }
  if (shm::record_bytes(words.size() * 8) > shm::kRecordSizeMax) {
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(timeout);
    auto id = session.upload_blob(record::as_bytes(words), wait);
    if (!id) {
      refuse(std::move(id.take_error()).in("log: a large record is dropped"));
      return false;
    }
    const record::Words reference = record::encode_blob(*id, words.size() * 8, shm::realtime_ns());
    return write_record(session, ring, reference, flags | shm::kFlagBlob, seq, timeout);
  }
  settle_pending(session, ring, timeout);
  const uint32_t bytes = shm::record_bytes(words.size() * 8);
  std::byte* const at = session.reserve_or_wait(ring, bytes, timeout);
  if (at == nullptr) return false;
  const shm::RecordHeader header{bytes, shm::kKindRecord, flags, 2, seq};
  std::memcpy(at, &header, sizeof header);
  std::memcpy(at + sizeof header, words.data(), words.size() * 8);
  RINGLOG_FAILPOINT("before_commit");
  ring.writer.commit(bytes);
  RINGLOG_FAILPOINT("after_commit");
  return true;
}

Result<std::unique_ptr<PendingReply>> RunCore::write_request(
    const std::shared_ptr<Session>& session, ThreadRing& ring, record::RequestSpec request,
    std::chrono::nanoseconds timeout) {
  if (client::is_ring_poisoned(*session, ring.index)) return client::poisoned_ring_error();
  auto claim = session->mailbox().claim();
  if (!claim) return claim.take_error();
  // Gives the slot back on every way out that is not the end.
  std::unique_ptr<PendingReply> pending;
  try {
    pending = std::make_unique<client::MailboxReply>(session, *claim, ring.index);
  } catch (const std::exception&) {
    session->mailbox().cancel(*claim);
    throw;
  }
  request.slot = claim->slot;
  request.word = claim->word;
  RINGLOG_FAILPOINT("after_claim");
  const record::Words words = record::encode_request(request, shm::realtime_ns());
  settle_pending(*session, ring, timeout);
  const uint32_t bytes = shm::record_bytes(words.size() * 8);
  std::byte* const at = session->reserve_or_wait(ring, bytes, timeout);
  if (at == nullptr) {
    return Error{Code::kBackpressure, "the ring has had no room for the request in time"};
  }
  const shm::RecordHeader header{bytes, shm::kKindRecord, shm::kFlagRequest, 2,
                                 ring.writer.next_seq()};
  std::memcpy(at, &header, sizeof header);
  std::memcpy(at + sizeof header, words.data(), words.size() * 8);
  session->mailbox().announce(*claim, ring.index, ring.writer.position() + bytes);
  RINGLOG_FAILPOINT("before_request");
  ring.writer.commit(bytes);
  RINGLOG_FAILPOINT("after_request");
  ring.writer.ring();
  return pending;
}

Status RunCore::publish(const record::Words& words) noexcept {
  return publish(words, record_wait());
}

Status RunCore::publish(const record::Words& words, std::chrono::nanoseconds wait) noexcept {
  const RingUse use(*this);
  const auto open = session();
  try {
    if (use.ring() == nullptr || !open) {
      const Error why{Code::kDisabled, "this process does not log (any more, or yet)"};
      // A run without a folder was never meant to.
      if (!dir_.empty()) refuse(Error(why).in("a config or alert record is lost"));
      return why;
    }
    ThreadRing& ring = *use.ring();
    if (write_record(*open, ring, words, 0, ring.writer.next_seq(), wait)) return Done{};
    open->count_lost_record();
    const Error why{Code::kBackpressure, "a config or alert record could not be written in time"};
    refuse(Error(why));
    return why;
  } catch (const std::exception& e) {
    if (open) open->count_lost_record();
    refuse("a config or alert record is lost", e);
    return Error{Code::kIo, "no memory"};  // fits into the string itself
  }
}

void RunCore::publish_output(const record::Words& words) noexcept {
  const RingUse use(*this);
  const auto open = session();
  if (use.ring() == nullptr || !open) return;
  if (write_for_row(*use.ring(), words, 0, use.ring()->writer.next_seq())) return;
  open->count_lost_record();
  try {
    refuse({Code::kBackpressure, "output could not be kept in time"});
  } catch (const std::exception& e) {
    refuse("output", e);
  }
}

Result<std::unique_ptr<PendingReply>> RunCore::deliver(record::RequestSpec request) noexcept {
  const RingUse use(*this);
  const auto open = session();
  if (use.ring() == nullptr || !open) return Error{Code::kDisabled, "this run does not log"};
  return ask(open, *use.ring(), request, record_wait());
}

Result<std::unique_ptr<PendingReply>> RunCore::ask(const std::shared_ptr<Session>& session,
                                                   ThreadRing& ring, record::RequestSpec request,
                                                   std::chrono::nanoseconds timeout) noexcept {
  try {
    return write_request(session, ring, request, timeout);
  } catch (const std::exception&) {
    return Error{Code::kIo, "no memory"};  // fits into the string itself
  }
}

}  // namespace ringlog::detail
