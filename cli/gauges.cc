#include "cli/gauges.h"

#include "record/message.h"

namespace ringlog::cli {

namespace {

std::string plain(capnp::Text::Reader text) { return {text.cStr(), text.size()}; }

ProducerGauges producer_gauges(schema::ProducerGauges::Reader from) {
  ProducerGauges gauges{from.getProducer(), from.getRank(),   from.getAttempt(),
                        from.getWorker(),   from.getPid(),    from.getIsWaiting(),
                        from.getLogged(),   from.getStored(), from.getDropped(),
                        from.getWaitedNs()};
  for (const auto ring : from.getRings()) {
    gauges.rings.push_back({ring.getUsedBytes(), ring.getCapacity(), ring.getIsPoisoned()});
  }
  return gauges;
}

RunGauges run_gauges(schema::RunGauges::Reader from) {
  RunGauges gauges{plain(from.getRunId()),
                   plain(from.getProject()),
                   plain(from.getDir()),
                   plain(from.getState()),
                   plain(from.getStoreError()),
                   from.getLive(),
                   from.getLogged(),
                   from.getStored(),
                   from.getDropped(),
                   from.getBacklogBytes(),
                   from.getLagMs()};
  for (const auto producer : from.getProducers()) {
    gauges.producers.push_back(producer_gauges(producer));
  }
  gauges.producers_left_out = from.getProducersLeftOut();
  for (const auto sink : from.getSinks()) gauges.sinks.push_back(reader::live_sink(sink));
  return gauges;
}

Gauges gauges_of(schema::Gauges::Reader from) {
  Gauges gauges{from.getTimeNs(), from.getPid(),     from.getStartedNs(), plain(from.getVersion()),
                from.getEpoch(),  from.getThreads(), from.getCpuNs(),     from.getMemoryBytes()};
  for (const auto run : from.getRuns()) gauges.runs.push_back(run_gauges(run));
  gauges.sinks_left_out = from.getSinksLeftOut();
  gauges.is_sinks_unknown = from.getSinksUnknown();
  return gauges;
}

}  // namespace

Result<Gauges> ask_gauges(client::ControlClient& service, const std::string& dir,
                          std::chrono::milliseconds timeout) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::ControlRequest>().initGauges().setDir(dir);
  auto answer = service.call(message, {}, timeout);
  if (!answer) return answer.take_error();
  Gauges gauges;
  bool is_gauges = false;
  Status read = record::try_read([&] {
    is_gauges = answer->reply().isGauges();
    if (is_gauges) gauges = gauges_of(answer->reply().getGauges());
  });
  if (!read) return read.take_error();
  if (!is_gauges) return Error{Code::kCorrupt, "the service answered another question"};
  return gauges;
}

}  // namespace ringlog::cli
