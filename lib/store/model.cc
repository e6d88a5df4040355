#include "store/model.h"

#include <algorithm>

#include "schema/chunk.capnp.h"
#include "store/packed.h"

namespace ringlog::store {

namespace {

std::string str(capnp::Text::Reader text) { return {text.cStr(), text.size()}; }

capnp::Text::Reader text(const std::string& s) { return {s.c_str(), s.size()}; }

std::vector<std::string> strings(capnp::List<capnp::Text>::Reader list) {
  std::vector<std::string> out;
  out.reserve(list.size());
  for (const auto entry : list) out.push_back(str(entry));
  return out;
}

void set_strings(capnp::List<capnp::Text>::Builder list, const std::vector<std::string>& from) {
  for (capnp::uint i = 0; i < list.size(); ++i) list.set(i, text(from[i]));
}

template <typename T>
capnp::uint count(const T& container) {
  return static_cast<capnp::uint>(container.size());
}

void write_ring(schema::RingState::Builder out, const RingState& ring) {
  out.setPosition(ring.position);
  out.setNextSeq(ring.next_seq);
  out.setDrainedSeq(ring.drained_seq);
  out.setStored(ring.stored);
  out.setDropped(ring.dropped);
  out.setMissing(ring.missing);
  auto kinds = out.initKeySets(count(ring.key_sets));
  for (capnp::uint i = 0; i < kinds.size(); ++i) {
    kinds[i].setKind(ring.key_sets[i].first);
    kinds[i].setKeySet(ring.key_sets[i].second);
  }
  out.setPoisoned(text(ring.poisoned));
}

RingState read_ring(schema::RingState::Reader in) {
  RingState ring;
  ring.position = in.getPosition();
  ring.next_seq = in.getNextSeq();
  ring.drained_seq = in.getDrainedSeq();
  ring.stored = in.getStored();
  ring.dropped = in.getDropped();
  ring.missing = in.getMissing();
  for (const auto kind : limited(in.getKeySets(), kReadKindsMax))
    ring.key_sets.emplace_back(kind.getKind(), kind.getKeySet());
  ring.poisoned = str(in.getPoisoned());
  return ring;
}

}  // namespace

size_t KeySet::number_count() const {
  return static_cast<size_t>(std::count_if(columns.begin(), columns.end(), [](const Column& c) {
    return c.type != ColumnType::kOther;
  }));
}

bool Commit::empty() const {
  return key_sets.empty() && blocks.empty() && records.empty() && stats.empty() &&
         producers.empty() && !meta && consumed_blobs.empty() && ended.empty() && gone.empty();
}

std::string to_bytes(const KeySet& value) {
  capnp::MallocMessageBuilder message;
  auto columns = message.initRoot<schema::StoredKeySet>().initColumns(count(value.columns));
  for (capnp::uint i = 0; i < columns.size(); ++i) {
    columns[i].setPath(text(value.columns[i].path));
    columns[i].setType(static_cast<schema::ColumnType>(value.columns[i].type));
  }
  return pack(message);
}

template <>
Result<KeySet> from_bytes(std::string_view bytes) {
  KeySet value;
  Status read = unpack<schema::StoredKeySet>(bytes, [&](auto in) -> Status {
    for (const auto column : limited(in.getColumns(), kReadColumnsMax)) {
      const auto type = static_cast<uint16_t>(column.getType());
      if (type > static_cast<uint16_t>(ColumnType::kOther)) {
        return Error{Code::kCorrupt, "column type " + std::to_string(type) + " is unknown"};
      }
      value.columns.push_back({str(column.getPath()), static_cast<ColumnType>(type)});
    }
    return Done{};
  });
  if (!read) return read.take_error().in("key set");
  return value;
}

std::string to_bytes(const RunMeta& value) {
  capnp::MallocMessageBuilder message;
  auto out = message.initRoot<schema::RunMeta>();
  out.setRunId(text(value.run_id));
  out.setProject(text(value.project));
  out.setName(text(value.name));
  out.setGroup(text(value.group));
  set_strings(out.initTags(count(value.tags)), value.tags);
  out.setNotes(text(value.notes));
  out.setCreatedNs(value.created_ns);
  out.setHost(text(value.host));
  set_strings(out.initCommand(count(value.command)), value.command);
  out.setVersion(text(value.version));
  set_strings(out.initSinks(count(value.sinks)), value.sinks);
  out.setState(text(value.state));
  out.setEndedNs(value.ended_ns);
  out.setIsSynced(value.is_synced);
  out.setMonitorMs(value.monitor_ms);
  return pack(message);
}

template <>
Result<RunMeta> from_bytes(std::string_view bytes) {
  RunMeta value;
  Status read = unpack<schema::RunMeta>(bytes, [&](auto in) -> Status {
    value.run_id = str(in.getRunId());
    value.project = str(in.getProject());
    value.name = str(in.getName());
    value.group = str(in.getGroup());
    value.tags = strings(in.getTags());
    value.notes = str(in.getNotes());
    value.created_ns = in.getCreatedNs();
    value.host = str(in.getHost());
    value.command = strings(in.getCommand());
    value.version = str(in.getVersion());
    value.sinks = strings(in.getSinks());
    value.state = str(in.getState());
    value.ended_ns = in.getEndedNs();
    value.is_synced = in.getIsSynced();
    value.monitor_ms = in.getMonitorMs();
    return Done{};
  });
  if (!read) return read.take_error().in("run description");
  return value;
}

std::string to_bytes(const ProducerState& value) {
  capnp::MallocMessageBuilder message;
  auto out = message.initRoot<schema::ProducerState>();
  out.setProducer(value.producer);
  out.setRank(value.rank);
  out.setAttempt(value.attempt);
  out.setWorker(value.worker);
  out.setPid(value.pid);
  out.setPidStart(value.pid_start);
  out.setHost(text(value.host));
  out.setState(text(value.state));
  out.setExitCode(value.exit_code);
  out.setSignal(value.signal);
  out.setCause(text(value.cause));
  out.setStartedNs(value.started_ns);
  out.setEndedNs(value.ended_ns);
  out.setSegment(text(value.segment));
  auto rings = out.initRings(count(value.rings));
  for (capnp::uint i = 0; i < rings.size(); ++i) write_ring(rings[i], value.rings[i]);
  out.setNextStep(value.next_step);
  out.setLocalRank(value.local_rank);
  out.setWorldSize(value.world_size);
  out.setIsEndUnread(value.is_end_unread);
  out.setLostRecords(value.lost_records);
  if (value.said_end) {
    auto end = out.initSaidEnd();
    end.setExitCode(value.said_end->exit_code);
    end.setSignal(value.said_end->signal);
    end.setIsImplied(value.said_end->is_implied);
  }
  return pack(message);
}

template <>
Result<ProducerState> from_bytes(std::string_view bytes) {
  ProducerState value;
  Status read = unpack<schema::ProducerState>(bytes, [&](auto in) -> Status {
    value.producer = in.getProducer();
    value.rank = in.getRank();
    value.attempt = in.getAttempt();
    value.worker = in.getWorker();
    value.pid = in.getPid();
    value.pid_start = in.getPidStart();
    value.host = str(in.getHost());
    value.state = str(in.getState());
    value.exit_code = in.getExitCode();
    value.signal = in.getSignal();
    value.cause = str(in.getCause());
    value.started_ns = in.getStartedNs();
    value.ended_ns = in.getEndedNs();
    value.segment = str(in.getSegment());
    for (const auto ring : limited(in.getRings(), kReadRingsMax))
      value.rings.push_back(read_ring(ring));
    value.next_step = in.getNextStep();
    value.local_rank = in.getLocalRank();
    value.world_size = in.getWorldSize();
    value.is_end_unread = in.getIsEndUnread();
    value.lost_records = in.getLostRecords();
    if (in.hasSaidEnd()) {
      const auto end = in.getSaidEnd();
      value.said_end = SaidEnd{end.getExitCode(), end.getSignal(), end.getIsImplied()};
    }
    return Done{};
  });
  if (!read) return read.take_error().in("producer state");
  return value;
}

std::string to_bytes(const SinkState& value) {
  capnp::MallocMessageBuilder message;
  auto out = message.initRoot<schema::SinkState>();
  out.setChunkLsn(value.chunk_lsn);
  out.setRecordLsn(value.record_lsn);
  auto lanes = out.initLanes(count(value.lanes));
  capnp::uint i = 0;
  for (const auto& [lane, next_seq] : value.lanes) {
    lanes[i].setProducer(lane.producer);
    lanes[i].setRing(lane.ring);
    lanes[i].setNextSeq(next_seq);
    ++i;
  }
  out.setRows(value.rows);
  out.setCursor({reinterpret_cast<const kj::byte*>(value.cursor.data()), value.cursor.size()});
  out.setLeftOut(value.left_out);
  return pack(message);
}

template <>
Result<SinkState> from_bytes(std::string_view bytes) {
  SinkState value;
  Status read = unpack<schema::SinkState>(bytes, [&](auto in) -> Status {
    value.chunk_lsn = in.getChunkLsn();
    value.record_lsn = in.getRecordLsn();
    for (const auto lane : limited(in.getLanes(), kReadLanesMax)) {
      value.lanes[{lane.getProducer(), lane.getRing()}] = lane.getNextSeq();
    }
    value.rows = in.getRows();
    const auto cursor = in.getCursor();
    value.cursor.assign(reinterpret_cast<const char*>(cursor.begin()), cursor.size());
    value.left_out = in.getLeftOut();
    return Done{};
  });
  if (!read) return read.take_error().in("sink state");
  return value;
}

}  // namespace ringlog::store
