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
    auto sinks = to.initSinks(static_cast<capnp::uint>(run.sinks.size()));
    for (size_t s = 0; s < run.sinks.size(); ++s) {
      write_sink(run.sinks[s], sinks[static_cast<capnp::uint>(s)]);
    }
  }
}

}  // namespace ringlog::service
