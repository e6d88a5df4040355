#include "daemon/reply.h"

#include "record/message.h"

#include <span>

#include "schema/reply.capnp.h"

namespace ringlog::service {

namespace {

template <typename Fill>
std::string build(Fill fill) {
  capnp::MallocMessageBuilder message;
  fill(message.initRoot<schema::Reply>());
  const record::Words words = record::to_words(message);
  return {reinterpret_cast<const char*>(words.data()), words.size() * 8};
}

}  // namespace

std::string error_reply(const std::string& message) {
  return build([&](schema::Reply::Builder reply) { reply.setError(message.c_str()); });
}

std::string flush_reply(const Positions& positions) {
  return build([&](schema::Reply::Builder reply) {
    auto flush = reply.initFlush();
    flush.setStored(positions.stored);
    flush.setSynced(positions.synced);
    flush.setSent(positions.sent);
  });
}

std::string finish_reply(const FinishReport& report) {
  return build([&](schema::Reply::Builder reply) {
    auto finish = reply.initFinish();
    finish.setAttempted(report.attempted);
    finish.setStored(report.stored);
    finish.setDropped(report.dropped);
    finish.setSent(report.sent);
    finish.setFiles(report.files);
    finish.setFileBytes(report.file_bytes);
    finish.setFilesFailed(report.files_failed);
  });
}

std::string summary_reply(const std::string& json) {
  return build([&](schema::Reply::Builder reply) { reply.setSummary(json.c_str()); });
}

std::string run_info_reply(const RunInfo& info) {
  return build([&](schema::Reply::Builder reply) {
    auto out = reply.initRunInfo();
    out.setRunId(info.run_id.c_str());
    out.setName(info.name.c_str());
    out.setProject(info.project.c_str());
    out.setDir(info.dir.c_str());
  });
}

void deliver(Port& port, const Request& request, std::string reply, LargeReplies& large) {
  const auto slots = port.segment->slots();
  if (request.slot_untrusted >= slots.size()) return;
  shm::Slot& slot = slots[request.slot_untrusted];
  const bool is_large = reply.size() > shm::kInlineReplySizeMax;
  // Kept before the slot says so: the client asks at once.
  if (is_large) large.put(port.uuid, request.slot_untrusted, request.word_untrusted, reply);
  const auto bytes = std::as_bytes(std::span(reply));
  const bool answered =
      shm::answer_slot(slot, request.word_untrusted, is_large ? bytes.first(0) : bytes, is_large);
  if (is_large && !answered) {
    large.drop(port.uuid, request.slot_untrusted, request.word_untrusted);
  }
}

}  // namespace ringlog::service
