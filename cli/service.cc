#include "cli/service.h"

#include <algorithm>
#include <utility>

#include "client/runtime_dir.h"
#include "record/message.h"

namespace ringlog::cli {

namespace {

using client::ControlAnswer;
using client::ControlClient;

std::string text_of(capnp::Text::Reader text) { return {text.cStr(), text.size()}; }

LiveRun run_of(schema::RunStatus::Reader from) {
  LiveRun run{text_of(from.getRunId()),
              text_of(from.getProject()),
              text_of(from.getDir()),
              text_of(from.getState()),
              {},
              {}};
  for (const auto producer : from.getProducers()) {
    run.producers.push_back({producer.getRank(), producer.getAttempt(), producer.getWorker(),
                             producer.getPid(), text_of(producer.getState()),
                             producer.getBacklogBytes()});
  }
  for (const auto sink : from.getSinks()) {
    run.sinks.push_back({text_of(sink.getUrl()), text_of(sink.getState()), sink.getSentRows(),
                         sink.getLagRows(), text_of(sink.getLastError())});
  }
  return run;
}

Error wrong_answer() { return {Code::kCorrupt, "the service answered another question"}; }

Status expect_ok(Result<ControlAnswer> answer) {
  if (!answer) return answer.take_error();
  bool is_ok = false;
  if (Status s = record::try_read([&] { is_ok = answer->reply().isOk(); }); !s) return s;
  if (!is_ok) return wrong_answer();
  return Done{};
}

}  // namespace

uint64_t LiveRun::live_count() const {
  return static_cast<uint64_t>(
      std::count_if(producers.begin(), producers.end(),
                    [](const LiveProducer& producer) { return producer.state == "running"; }));
}

uint64_t LiveRun::backlog_bytes() const {
  uint64_t bytes = 0;
  for (const LiveProducer& producer : producers) bytes += producer.backlog_bytes;
  return bytes;
}

Result<std::unique_ptr<ControlClient>> connect_service() {
  return ControlClient::connect(client::runtime_dir());
}

std::unique_ptr<ControlClient> find_service() {
  auto service = connect_service();
  return service ? *std::move(service) : nullptr;
}

Result<ServiceStatus> ask_status(ControlClient& service, std::chrono::milliseconds timeout) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::ControlRequest>().setStatus();
  auto answer = service.call(message, {}, timeout);
  if (!answer) return answer.take_error();
  ServiceStatus status;
  bool is_status = false;
  Status read = record::try_read([&] {
    const auto reply = answer->reply();
    is_status = reply.isStatus();
    if (!is_status) return;
    const auto from = reply.getStatus();
    status = {from.getPid(),
              from.getStartedNs(),
              text_of(from.getVersion()),
              from.getEpoch(),
              from.getThreads(),
              text_of(from.getLog()),
              {}};
    for (const auto run : from.getRuns()) status.runs.push_back(run_of(run));
  });
  if (!read) return read.take_error();
  if (!is_status) return wrong_answer();
  return status;
}

Result<std::vector<LiveRun>> query_runs(ControlClient& service, const std::string& run_id,
                                        bool barrier, std::chrono::milliseconds timeout) {
  capnp::MallocMessageBuilder message;
  auto query = message.initRoot<schema::ControlRequest>().initQuery();
  query.setRunId(run_id);
  query.setBarrier(barrier);
  auto answer = service.call(message, {}, timeout);
  if (!answer) return answer.take_error();
  std::vector<LiveRun> runs;
  bool is_query = false;
  Status read = record::try_read([&] {
    const auto reply = answer->reply();
    is_query = reply.isQuery();
    if (!is_query) return;
    for (const auto run : reply.getQuery()) runs.push_back(run_of(run));
  });
  if (!read) return read.take_error();
  if (!is_query) return wrong_answer();
  return runs;
}

Status ask_stop(ControlClient& service, const std::string& run_id,
                std::chrono::milliseconds timeout) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::ControlRequest>().setStop(run_id);
  return expect_ok(service.call(message, {}, timeout));
}

Status ask_teardown(ControlClient& service, std::chrono::milliseconds timeout) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::ControlRequest>().setTeardown(0);
  return expect_ok(service.call(message, {}, timeout));
}

}  // namespace ringlog::cli
