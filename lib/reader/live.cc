#include "reader/live.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "client/runtime_dir.h"
#include "record/message.h"

namespace ringlog::reader {

namespace {

using client::ControlClient;

std::string live_text(capnp::Text::Reader text) { return {text.cStr(), text.size()}; }

}  // namespace

LiveSink live_sink(schema::SinkStatus::Reader from) {
  return {live_text(from.getUrl()),
          live_text(from.getState()),
          from.getSentRows(),
          from.getLagRows(),
          live_text(from.getLastError()),
          from.getLeftOutRows(),
          from.getLooksWanted(),
          from.getLooksSent(),
          from.getLagMs()};
}

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
  for (const auto sink : from.getSinks()) run.sinks.push_back(live_sink(sink));
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

Result<std::vector<LiveRun>> query_runs(ControlClient& service, const std::string& dir,
                                        bool barrier, std::chrono::milliseconds timeout) {
  capnp::MallocMessageBuilder message;
  auto query = message.initRoot<schema::ControlRequest>().initQuery();
  query.setDir(dir);
  query.setBarrier(barrier);
  return read_runs(service.call(message, {}, timeout));
}

namespace {

// The open run in that directory by the name that the service has for it.
Result<LiveRun> query_run(ControlClient& service, const std::string& dir, bool barrier,
                          std::chrono::milliseconds timeout) {
  auto runs = query_runs(service, dir, barrier, timeout);
  if (runs && !runs->empty()) return std::move(runs->front());
  if (!runs && runs.error().code != Code::kNotFound) return runs.take_error();
  auto all = query_runs(service, "", false, timeout);
  if (!all) return all.take_error();
  for (const LiveRun& run : *all) {
    std::error_code error;
    if (run.dir == dir || !std::filesystem::equivalent(run.dir, dir, error)) continue;
    runs = query_runs(service, run.dir, barrier, timeout);
    if (runs && !runs->empty()) return std::move(runs->front());
    if (!runs && runs.error().code != Code::kNotFound) return runs.take_error();
  }
  return Error{Code::kNotFound, "the run in " + dir + " is not open in the service"};
}

}  // namespace

Result<OpenRun> find_open_run(const std::string& dir, bool barrier,
                              std::chrono::milliseconds timeout) {
  Error why{Code::kServiceGone, "nobody to ask; the service is not running"};
  for (const std::string& runtime_dir : client::runtime_dirs()) {
    auto service = ControlClient::connect(runtime_dir);
    auto run =
        service ? query_run(**service, dir, barrier, timeout) : Result<LiveRun>(service.error());
    if (run) return OpenRun{*std::move(service), *std::move(run)};
    // That one of them does not have it says more than that another one is not there, and that one
    // does not answer, more than both.
    const Code code = run.error().code;
    if (code != Code::kServiceGone && why.code != Code::kTimeout) why = run.take_error();
  }
  return why;
}

Served ask_to_store(const std::string& dir) {
  const auto run = find_open_run(dir, true, kBarrierWait);
  if (run) return Served::kYes;
  return run.error().code == Code::kTimeout ? Served::kLate : Served::kNot;
}

}  // namespace ringlog::reader
