#include "client/pending_reply.h"

#include "record/message.h"

#include <unistd.h>

#include "schema/reply.capnp.h"

namespace ringlog::client {

bool is_ring_poisoned(const Session& session, uint32_t ring) {
  return (session.service_words().poisoned_rings.load(std::memory_order_relaxed) >> ring & 1) != 0;
}

Error poisoned_ring_error() {
  return {
      Code::kCorrupt,
      "the ring of this thread is not read any more because what stood in it was damaged; later "
      "rows are dropped"};
}

MailboxReply::MailboxReply(std::shared_ptr<Session> session, shm::Mailbox::Claim claim,
                           uint32_t ring)
    : session_(std::move(session)), claim_(claim), ring_(ring) {}

MailboxReply::~MailboxReply() {
  if (!session_->is_left_behind()) session_->mailbox().cancel(claim_);
}

bool MailboxReply::look_around(int64_t start_ns,
                               const std::function<void(const Progress&)>& on_progress) {
  const bool is_there = session_->is_service_there() && !session_->is_retired();
  if (!on_progress) return is_there;
  const shm::ServiceWords& words = session_->service_words();
  Progress progress{std::chrono::nanoseconds(shm::monotonic_ns() - start_ns), {}};
  progress.positions = {words.stored_rows.load(std::memory_order_relaxed),
                        words.synced_rows.load(std::memory_order_relaxed),
                        words.sent_rows.load(std::memory_order_relaxed)};
  progress.file_bytes_left = words.file_bytes_left.load(std::memory_order_relaxed);
  on_progress(progress);
  return is_there;
}

Result<std::string> MailboxReply::wait(std::chrono::nanoseconds timeout,
                                       const std::function<void(const Progress&)>& on_progress) {
  if (session_->is_left_behind()) {
    return Error{Code::kDisabled, "this handle is that of the process that forked this one"};
  }
  const int64_t start = shm::monotonic_ns();
  auto reply =
      session_->mailbox().wait(claim_, timeout, [&] { return look_around(start, on_progress); });
  // The slot that was failed was read with acquire after the service had set the bit.
  if (!reply && reply.error().code == Code::kServiceGone && is_ring_poisoned(*session_, ring_)) {
    return poisoned_ring_error();
  }
  if (!reply) return reply.take_error();
  if (!reply->is_large) return std::move(reply->bytes);
  const std::chrono::nanoseconds left =
      timeout - std::chrono::nanoseconds(shm::monotonic_ns() - start);
  return session_->fetch_reply(claim_,
                               std::max(std::chrono::duration_cast<std::chrono::milliseconds>(left),
                                        std::chrono::milliseconds(100)));
}

}  // namespace ringlog::client

namespace ringlog::detail {

namespace {

template <typename T, typename Parse>
Result<T> parse(const std::string& bytes, Parse parse_reply_body) {
  try {
    record::MessageView message(std::as_bytes(std::span(bytes)));
    auto reply = message.root<schema::Reply>();
    if (reply.isError()) return Error{Code::kIo, reply.getError().cStr()};
    return parse_reply_body(reply);
  } catch (const kj::Exception& e) {
    return Error{Code::kCorrupt, std::string("reply: ") + e.getDescription().cStr()};
  }
}

}  // namespace

template <>
Result<Positions> parse_reply(const std::string& bytes) {
  return parse<Positions>(bytes, [](schema::Reply::Reader reply) -> Result<Positions> {
    const auto p = reply.getFlush();
    return Positions{p.getStored(), p.getSynced(), p.getSent()};
  });
}

template <>
Result<FinishReport> parse_reply(const std::string& bytes) {
  return parse<FinishReport>(bytes, [](schema::Reply::Reader reply) -> Result<FinishReport> {
    const auto r = reply.getFinish();
    return FinishReport{r.getAttempted(), r.getStored(),    r.getDropped(),    r.getSent(),
                        r.getFiles(),     r.getFileBytes(), r.getFilesFailed()};
  });
}

template <>
Result<RunInfo> parse_reply(const std::string& bytes) {
  return parse<RunInfo>(bytes, [](schema::Reply::Reader reply) -> Result<RunInfo> {
    const auto i = reply.getRunInfo();
    return RunInfo{i.getRunId().cStr(), i.getName().cStr(), i.getProject().cStr(),
                   i.getDir().cStr()};
  });
}

template <>
Result<std::string> parse_reply(const std::string& bytes) {
  return parse<std::string>(bytes, [](schema::Reply::Reader reply) -> Result<std::string> {
    return std::string(reply.getSummary().cStr());
  });
}

}  // namespace ringlog::detail
