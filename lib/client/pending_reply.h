#pragma once
// The library's end of a mailbox request: what stands behind a Handle.
//
// Used by one thread at a time.  Keeps the session, and so the segment, alive.  Destroying it frees
// the slot, or leaves that to the service when no answer came.

#include "client/session.h"

#include <ringlog/handle.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace ringlog::client {

// True when the service does not read this ring any more, because it broke its rules.
bool is_ring_poisoned(const Session& session, uint32_t ring);
Error poisoned_ring_error();  // kCorrupt

class MailboxReply final : public detail::PendingReply {
 public:
  MailboxReply(std::shared_ptr<Session> session, shm::Mailbox::Claim claim, uint32_t ring);
  ~MailboxReply() override;

  Result<std::string> wait(std::chrono::nanoseconds timeout,
                           const std::function<void(const Progress&)>& on_progress) override;

 private:
  bool look_around(int64_t start_ns, const std::function<void(const Progress&)>& on_progress);

  std::shared_ptr<Session> session_;
  const shm::Mailbox::Claim claim_;
  const uint32_t ring_;  // where the request stands
};

}  // namespace ringlog::client
