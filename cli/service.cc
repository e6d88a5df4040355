#include "cli/service.h"

#include <utility>

#include "client/runtime_dir.h"
#include "record/message.h"

namespace ringlog::cli {

namespace {

using client::ControlAnswer;
using client::ControlClient;

std::string text_of(capnp::Text::Reader text) { return {text.cStr(), text.size()}; }

Error wrong_answer() { return {Code::kCorrupt, "the service answered another question"}; }

Status expect_ok(Result<ControlAnswer> answer) {
  if (!answer) return answer.take_error();
  bool is_ok = false;
  if (Status s = record::try_read([&] { is_ok = answer->reply().isOk(); }); !s) return s;
  if (!is_ok) return wrong_answer();
  return Done{};
}

}  // namespace

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
    for (const auto run : from.getRuns()) status.runs.push_back(reader::live_run(run));
  });
  if (!read) return read.take_error();
  if (!is_status) return wrong_answer();
  return status;
}

Status ask_burst(ControlClient& service, const std::string& dir, std::chrono::milliseconds interval,
                 std::chrono::milliseconds time, std::chrono::milliseconds timeout) {
  capnp::MallocMessageBuilder message;
  auto burst = message.initRoot<schema::ControlRequest>().initBurst();
  burst.setDir(dir);
  burst.setIntervalMs(static_cast<uint32_t>(interval.count()));
  burst.setTimeMs(static_cast<uint32_t>(time.count()));
  auto answer = service.call(message, {}, timeout);
  if (!answer) return answer.take_error();
  return Done{};
}

Result<AgreedStep> ask_agree(ControlClient& service, const std::string& dir, bool is_stop,
                             std::chrono::milliseconds timeout) {
  capnp::MallocMessageBuilder message;
  auto agree = message.initRoot<schema::ControlRequest>().initAgree();
  agree.setDir(dir);
  agree.setWish(is_stop ? schema::Agree::Wish::STOP : schema::Agree::Wish::CHECKPOINT);
  auto answer = service.call(message, {}, timeout);
  if (!answer) return answer.take_error();
  AgreedStep step;
  bool is_agreed = false;
  Status read = record::try_read([&] {
    const auto reply = answer->reply();
    is_agreed = reply.isAgreed();
    if (!is_agreed) return;
    const auto from = reply.getAgreed();
    step = {from.getStep(), from.getRanks(), from.getAsking(), from.getLate()};
  });
  if (!read) return read.take_error();
  if (!is_agreed) return wrong_answer();
  return step;
}

namespace {

Result<LiveRun> only_run(Result<std::vector<LiveRun>> runs) {
  if (!runs) return runs.take_error();
  if (runs->size() != 1) return wrong_answer();
  return std::move(runs->front());
}

}  // namespace

Result<LiveRun> ask_sync(ControlClient& service, const RunPath& run,
                         const std::vector<std::string>& sinks, std::chrono::milliseconds timeout) {
  capnp::MallocMessageBuilder message;
  auto sync = message.initRoot<schema::ControlRequest>().initSync();
  sync.setRunId(run.run_id);
  sync.setProject(run.project);
  sync.setRoot(run.root);
  auto urls = sync.initSinks(static_cast<capnp::uint>(sinks.size()));
  for (size_t i = 0; i < sinks.size(); ++i) urls.set(static_cast<capnp::uint>(i), sinks[i]);
  return only_run(reader::read_runs(service.call(message, {}, timeout)));
}

Result<LiveRun> ask_run(ControlClient& service, const std::string& dir,
                        std::chrono::milliseconds timeout) {
  return only_run(query_runs(service, dir, false, timeout));
}

Status end_sync(ControlClient& service, const std::string& dir, std::chrono::milliseconds timeout) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::ControlRequest>().setEndSync(dir);
  return expect_ok(service.call(message, {}, timeout));
}

Status ask_teardown(ControlClient& service, std::chrono::milliseconds timeout) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::ControlRequest>().setTeardown(0);
  return expect_ok(service.call(message, {}, timeout));
}

}  // namespace ringlog::cli
