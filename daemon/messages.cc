#include "daemon/messages.h"

namespace ringlog::service {

namespace {

std::string text(capnp::Text::Reader in) { return {in.begin(), in.size()}; }

std::vector<std::string> texts(capnp::List<capnp::Text>::Reader in) {
  std::vector<std::string> out;
  out.reserve(in.size());
  for (const auto item : in) out.push_back(text(item));
  return out;
}

schema::ControlError::Code code_of(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
      return schema::ControlError::Code::INVALID;
    case Code::kVersion:
      return schema::ControlError::Code::VERSION;
    case Code::kPermission:
      return schema::ControlError::Code::PERMISSION;
    case Code::kNotFound:
      return schema::ControlError::Code::UNKNOWN_RUN;
    case Code::kIo:
    case Code::kCorrupt:
      return schema::ControlError::Code::STORAGE;
    case Code::kTooLarge:
    case Code::kBackpressure:
      return schema::ControlError::Code::LIMIT;
    default:
      return schema::ControlError::Code::INTERNAL;
  }
}

void write_producer(const ProducerStatus& status, schema::ProducerStatus::Builder out) {
  out.setProducer(status.producer);
  out.setRank(status.rank);
  out.setAttempt(status.attempt);
  out.setWorker(status.worker);
  out.setPid(status.pid);
  out.setState(status.state.c_str());
  out.setStored(status.stored);
  out.setDropped(status.dropped);
  out.setBacklogBytes(status.backlog_bytes);
  out.setRingBytes(status.ring_bytes);
  out.setPoisoned(status.poisoned.c_str());
}

void write_sink(const SinkStatus& status, schema::SinkStatus::Builder out) {
  out.setUrl(status.url.c_str());
  out.setState(status.state.c_str());
  out.setSentRows(status.sent_rows);
  out.setLagRows(status.lag_rows);
  out.setLastError(status.last_error.c_str());
  out.setLeftOutRows(status.left_out_rows);
  out.setLooksWanted(status.looks_wanted);
  out.setLooksSent(status.looks_sent);
  out.setLagMs(status.lag_ms);
}

void write_sinks(const std::vector<SinkStatus>& sinks,
                 capnp::List<schema::SinkStatus>::Builder out) {
  for (size_t i = 0; i < sinks.size(); ++i) write_sink(sinks[i], out[static_cast<capnp::uint>(i)]);
}

void write_producer_gauges(const ProducerGauges& gauges, schema::ProducerGauges::Builder out) {
  out.setProducer(gauges.producer);
  out.setRank(gauges.rank);
  out.setAttempt(gauges.attempt);
  out.setWorker(gauges.worker);
  out.setPid(gauges.pid);
  out.setIsWaiting(gauges.is_waiting);
  out.setLogged(gauges.logged);
  out.setStored(gauges.stored);
  out.setDropped(gauges.dropped);
  out.setWaitedNs(gauges.waited_ns);
  auto rings = out.initRings(static_cast<capnp::uint>(gauges.rings.size()));
  for (size_t i = 0; i < gauges.rings.size(); ++i) {
    auto to = rings[static_cast<capnp::uint>(i)];
    to.setUsedBytes(gauges.rings[i].used_bytes);
    to.setCapacity(gauges.rings[i].capacity);
    to.setIsPoisoned(gauges.rings[i].is_poisoned);
  }
}

void write_run_gauges(const RunGauges& gauges, schema::RunGauges::Builder out) {
  out.setRunId(gauges.run_id.c_str());
  out.setProject(gauges.project.c_str());
  out.setDir(gauges.dir.c_str());
  out.setState(gauges.state.c_str());
  out.setStoreError(gauges.store_error.c_str());
  out.setLive(gauges.live);
  out.setLogged(gauges.logged);
  out.setStored(gauges.stored);
  out.setDropped(gauges.dropped);
  out.setBacklogBytes(gauges.backlog_bytes);
  out.setLagMs(gauges.lag_ms);
  auto producers = out.initProducers(static_cast<capnp::uint>(gauges.producers.size()));
  for (size_t i = 0; i < gauges.producers.size(); ++i) {
    write_producer_gauges(gauges.producers[i], producers[static_cast<capnp::uint>(i)]);
  }
  out.setProducersLeftOut(gauges.producers_left_out);
  write_sinks(gauges.sinks, out.initSinks(static_cast<capnp::uint>(gauges.sinks.size())));
}

}  // namespace

ProducerSpec read_producer_spec(schema::ProducerSpec::Reader in) {
  ProducerSpec spec;
  spec.rank = in.getRank();
  spec.attempt = in.getAttempt();
  spec.worker = in.getWorker();
  spec.parent_producer = in.getParentProducer();
  spec.local_rank = in.getLocalRank();
  spec.world_size = in.getWorldSize();
  spec.ring_bytes = in.getRingBytes();
  return spec;
}

RunSpec read_attach(schema::Attach::Reader in) {
  RunSpec spec;
  spec.run_id = text(in.getRunId());
  spec.project = text(in.getProject());
  spec.root = text(in.getRoot());
  spec.producer = read_producer_spec(in.getProducer());
  return spec;
}

RunSpec read_sync(schema::Sync::Reader in) {
  RunSpec spec;
  spec.run_id = text(in.getRunId());
  spec.project = text(in.getProject());
  spec.root = text(in.getRoot());
  spec.sinks = texts(in.getSinks());
  return spec;
}

RunSpec read_run_spec(schema::RunSpec::Reader in) {
  RunSpec spec;
  spec.run_id = text(in.getRunId());
  spec.project = text(in.getProject());
  spec.root = text(in.getRoot());
  spec.name = text(in.getName());
  spec.group = text(in.getGroup());
  spec.tags = texts(in.getTags());
  spec.notes = text(in.getNotes());
  spec.producer = read_producer_spec(in.getProducer());
  spec.is_synced = in.getDurability() >= 2;  // record.capnp Durability.synced
  spec.sinks = texts(in.getSinks());
  spec.host = text(in.getHost());
  spec.command = texts(in.getCommand());
  spec.mode = text(in.getMode());
  spec.monitor_ms = in.getMonitorMs();
  spec.work_tree = text(in.getWorkTree());
  return spec;
}

void write_error(const Error& error, schema::ControlReply::Builder out) {
  auto to = out.initError();
  to.setCode(code_of(error.code));
  to.setMessage(error.message.c_str());
}

void write_attached(const Attached& attached, schema::Attached::Builder out) {
  out.setRunId(attached.run_id.c_str());
  out.setDir(attached.dir.c_str());
  out.setName(attached.name.c_str());
  out.setProducer(attached.producer);
  out.setRank(attached.rank);
  out.setAttempt(attached.attempt);
  out.setWorker(attached.worker);
  out.setSegment(attached.segment.c_str());
  out.setNextStep(attached.next_step);
  out.setNotice(attached.notice.c_str());
}

void write_runs(const std::vector<RunStatus>& runs, capnp::List<schema::RunStatus>::Builder out) {
  for (size_t i = 0; i < runs.size(); ++i) {
    const RunStatus& run = runs[i];
    auto to = out[static_cast<capnp::uint>(i)];
    to.setRunId(run.run_id.c_str());
    to.setProject(run.project.c_str());
    to.setDir(run.dir.c_str());
    to.setState(run.state.c_str());
    auto producers = to.initProducers(static_cast<capnp::uint>(run.producers.size()));
    for (size_t p = 0; p < run.producers.size(); ++p) {
      write_producer(run.producers[p], producers[static_cast<capnp::uint>(p)]);
    }
    write_sinks(run.sinks, to.initSinks(static_cast<capnp::uint>(run.sinks.size())));
  }
}

void write_gauges(const Gauges& gauges, schema::Gauges::Builder out) {
  out.setTimeNs(gauges.time_ns);
  auto runs = out.initRuns(static_cast<capnp::uint>(gauges.runs.size()));
  for (size_t i = 0; i < gauges.runs.size(); ++i) {
    write_run_gauges(gauges.runs[i], runs[static_cast<capnp::uint>(i)]);
  }
  out.setSinksLeftOut(gauges.sinks_left_out);
  out.setSinksUnknown(gauges.is_sinks_unknown);
}

}  // namespace ringlog::service
