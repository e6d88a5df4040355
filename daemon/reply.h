#pragma once
// Answers to mailbox requests: building them and putting them into their slot.
//
// Safe from any thread; nothing blocks.

#include "daemon/batch.h"
#include "daemon/large_replies.h"
#include "daemon/port.h"

#include <ringlog/handle.h>

#include <string>

namespace ringlog::service {

// Messages of schema/reply.capnp as they stand in a slot.
std::string error_reply(const std::string& message);
std::string flush_reply(const Positions& positions);
std::string finish_reply(const FinishReport& report);
std::string summary_reply(const std::string& json);
std::string run_info_reply(const RunInfo& info);

// Answers the request, inline or through `large`.  Nothing happens when nobody waits any more or
// the request names a slot that does not exist.
void deliver(Port& port, const Request& request, std::string reply, LargeReplies& large);

}  // namespace ringlog::service
