#include "reader/live.h"

#include <algorithm>
#include <utility>

#include "client/runtime_dir.h"
#include "record/message.h"

namespace ringlog::reader {

namespace {

using client::ControlClient;

std::string live_text(capnp::Text::Reader text) { return {text.cStr(), text.size()}; }

}  // namespace

LiveRun live_run(schema::RunStatus::Reader from) {
  LiveRun run{live_text(from.getRunId()),
              live_text(from.getProject()),
              live_text(from.getDir()),
              live_text(from.getState()),
              {},
              {}};
  for (const auto producer : from.getProducers()) {
    run.producers.push_back({producer.getRank(), producer.getAttempt(), producer.getWorker(),
                             producer.getPid(), live_text(producer.getState()),
                             producer.getBacklogBytes(), producer.getStored()});
  }
  for (const auto sink : from.getSinks()) {
    run.sinks.push_back({live_text(sink.getUrl()), live_text(sink.getState()), sink.getSentRows(),
                         sink.getLagRows(), live_text(sink.getLastError()), sink.getLeftOutRows(),
                         sink.getLooksWanted(), sink.getLooksSent()});
  }
  return run;
}

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

uint64_t LiveRun::stored_rows() const {
  uint64_t rows = 0;
  for (const LiveProducer& producer : producers) rows += producer.stored_rows;
  return rows;
}

Result<std::vector<LiveRun>> read_runs(Result<client::ControlAnswer> answer) {
  if (!answer) return answer.take_error();
  std::vector<LiveRun> runs;
  bool is_query = false;
  Status read = record::try_read([&] {
    const auto reply = answer->reply();
    is_query = reply.isQuery();
    if (!is_query) return;
    for (const auto run : reply.getQuery()) runs.push_back(live_run(run));
  });
  if (!read) return read.take_error();
  if (!is_query) return Error{Code::kCorrupt, "the service answered another question"};
  return runs;
}

Result<std::vector<LiveRun>> query_runs(ControlClient& service, const std::string& run_id,
                                        bool barrier, std::chrono::milliseconds timeout) {
  capnp::MallocMessageBuilder message;
  auto query = message.initRoot<schema::ControlRequest>().initQuery();
  query.setRunId(run_id);
  query.setBarrier(barrier);
  return read_runs(service.call(message, {}, timeout));
}

bool ask_to_store(const std::string& run_id) {
  auto service = ControlClient::connect(client::runtime_dir());
  if (!service) return false;
  const auto runs = query_runs(**service, run_id, true, kBarrierWait);
  return runs && !runs->empty();
}

}  // namespace ringlog::reader
