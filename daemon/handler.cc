#include "daemon/handler.h"

#include "daemon/free_row.h"
#include "record/limits.h"
#include "record/message.h"
#include "record/path.h"
#include "store/limits.h"

#include <signal.h>

#include <algorithm>
#include <string_view>
#include <unordered_set>

namespace ringlog::service {

namespace {

Error violation(const std::string& what) { return {Code::kCorrupt, what}; }

uint64_t step_after(uint64_t step) { return step == UINT64_MAX ? step : step + 1; }

// A path below the run's files/ folder that cannot lead out of it.
Status check_file_name(std::string_view name) {
  if (Status s = check_text(name, "a file name"); !s) return s;
  bool ok = !name.empty() && name.front() != '/' && name.find('\0') == std::string_view::npos;
  for (size_t at = 0; ok && at <= name.size();) {
    const size_t end = std::min(name.find('/', at), name.size());
    ok = name.substr(at, end - at) != "..";
    at = end + 1;
  }
  if (ok) return Done{};
  return Error{Code::kInvalidArgument, "a file name leads out of the run's files folder"};
}

Status check_metric(schema::Metric::Reader metric) {
  if (Status s = check_text(view(metric.getName()), "a metric's name"); !s) return s;
  if (Status s = check_text(view(metric.getStepMetric()), "a metric's step metric"); !s) return s;
  for (const auto kind : metric.getSummary()) {
    if (Status s = check_text(view(kind), "a metric's summary"); !s) return s;
  }
  return Done{};
}

Status check_alert(schema::Alert::Reader alert) {
  if (Status s = check_text(view(alert.getTitle()), "an alert's title"); !s) return s;
  return check_text(view(alert.getText()), "an alert's text");
}

Status check_file(schema::File::Reader file) {
  if (Status s = check_file_name(view(file.getName())); !s) return s;
  if (Status s = check_text(view(file.getProblem()), "a file's problem"); !s) return s;
  return check_text(view(file.getSource()), "a file's source");
}

Status check_named(capnp::List<schema::Named>::Reader list, const char* what) {
  for (const auto named : list) {
    if (Status s = check_text(view(named.getName()), what); !s) return s;
    if (Status s = check_text(view(named.getValue()), what); !s) return s;
  }
  return Done{};
}

Status check_finish(schema::Finish::Reader finish) {
  if (finish.getSignal() <= SIGRTMAX) return Done{};
  return violation("an end by signal " + std::to_string(finish.getSignal()));
}

Status check_process(schema::Process::Reader process) {
  constexpr const char* kWhat = "a text about a process";
  const auto git = process.getGit();
  for (const auto text :
       {process.getExecutable(), process.getBuildId(), process.getDirectory(), process.getUser(),
        process.getSystem(), git.getRoot(), git.getCommit(), git.getBranch(), git.getRemote()}) {
    if (Status s = check_text(view(text), kWhat); !s) return s;
  }
  for (const auto word : process.getCommand()) {
    if (Status s = check_text(view(word), kWhat); !s) return s;
  }
  for (const auto setting : process.getSettings()) {
    for (const auto text : {setting.getName(), setting.getValue(), setting.getOrigin()}) {
      if (Status s = check_text(view(text), kWhat); !s) return s;
    }
  }
  if (Status s = check_named(process.getEnvironment(), kWhat); !s) return s;
  return check_named(process.getContainer(), kWhat);
}

// Records that are kept as they were written.
Status check_kept(schema::Record::Reader record) {
  switch (record.which()) {
    case schema::Record::CONFIG:
      return check_fields(record.getConfig());
    case schema::Record::SUMMARY:
      return check_fields(record.getSummary());
    case schema::Record::METRIC:
      return check_metric(record.getMetric());
    case schema::Record::ALERT:
      return check_alert(record.getAlert());
    case schema::Record::CONSOLE:
      static_cast<void>(record.getConsole().getData());
      return Done{};
    case schema::Record::FILE:
      return check_file(record.getFile());
    case schema::Record::PROCESS:
      return check_process(record.getProcess());
    case schema::Record::FINISH:
      return check_finish(record.getFinish());
    default:
      return violation("a record of unknown type " +
                       std::to_string(static_cast<int>(record.which())));
  }
}

// Copies a record as the store will, with all that it points to, whatever member of its unions is
// the valid one: a pointer that leads nowhere throws here, where it costs this ring and not the
// batch.  The record itself is kept: the copy may have too few words for the limits of its readers.
Status check_copy(schema::Record::Reader record, size_t size_untrusted) {
  capnp::MallocMessageBuilder copy(static_cast<capnp::uint>(size_untrusted / 8 + 1));
  copy.setRoot(record);
  // Pointers that share what they point to make the copy larger than the record.
  if (copy.sizeInWords() * 8 <= store::kValueBytesMax) return Done{};
  return Error{Code::kTooLarge, "a record is too large when it is written out"};
}

Result<Request> read_request(schema::Request::Reader request) {
  Request out;
  out.slot_untrusted = request.getSlot();
  out.word_untrusted = request.getWord();
  switch (request.which()) {
    case schema::Request::FLUSH:
      out.kind = RequestKind::kFlush;
      if (request.getFlush() > schema::Durability::SENT) return violation("an unknown durability");
      out.level = static_cast<Durability>(request.getFlush());
      return out;
    case schema::Request::FINISH:
      out.kind = RequestKind::kFinish;
      return out;
    case schema::Request::SUMMARY:
      out.kind = RequestKind::kSummary;
      return out;
    case schema::Request::RUN_INFO:
      out.kind = RequestKind::kRunInfo;
      return out;
    case schema::Request::FOOTER:
      out.kind = RequestKind::kFooter;
      return out;
  }
  return violation("an unknown request");
}

Result<std::vector<store::Column>> read_columns(schema::KeySet::Reader keys) {
  const auto list = keys.getColumns();
  if (list.size() > record::kTemplateKeysMax) return violation("a key set with too many keys");
  std::vector<store::Column> columns;
  columns.reserve(list.size());
  std::unordered_set<std::string_view> seen;
  for (const auto column : list) {
    const std::string_view path = view(column.getPath());
    if (path.empty() || !record::is_utf8(path)) return violation("a key set with a malformed key");
    if (path.size() > record::kKeySizeMax * record::kValueDepthMax) {
      return violation("a key set with a key that is too long");
    }
    if (column.getType() >= schema::ColumnType::OTHER) {
      return violation("a key set with a column that is no number");
    }
    if (!seen.insert(path).second) return violation("a key set with the same key twice");
    columns.push_back({std::string(path), static_cast<store::ColumnType>(column.getType())});
  }
  return columns;
}

}  // namespace

Handler::Handler(std::vector<store::KeySet> stored, FetchBlob fetch_blob)
    : keys_(std::move(stored)), fetch_blob_(std::move(fetch_blob)) {}

Status Handler::handle(Lane& lane, const shm::RecordView& record, ProducerNotes& notes,
                       Batch& batch) {
  if (record.header.kind >= shm::kKindRowFirst) return handle_row(lane, record, notes, batch);
  const uint64_t seq_before = lane.next_seq;
  if (Status s = take_seq(lane, record.header); !s) return s;
  Status handled = handle_record(lane, record, notes, batch);
  // It comes again.
  if (!handled && handled.error().code == Code::kIo) lane.next_seq = seq_before;
  return handled;
}

// `seq` counts the rows attempted before the record; a row then counts itself.  A gap is rows that
// the producer dropped, or, if it did not count them, rows that are missing: settled at its end.
Status Handler::take_seq(Lane& lane, const shm::RecordHeader& header) const {
  if (header.seq < lane.next_seq) {
    return violation("sequence number " + std::to_string(header.seq) + " after " +
                     std::to_string(lane.next_seq));
  }
  // Also what would wrap around: the next one would be 0, and below all that are stored.
  if (header.seq >= store::kSeqEnd) {
    return violation("sequence number " + std::to_string(header.seq) + " is impossible");
  }
  lane.next_seq = header.seq + ((header.flags & shm::kFlagRow) != 0 ? 1 : 0);
  return Done{};
}

size_t Handler::block_index(Lane& lane, uint32_t key_set, Batch& batch) {
  if (lane.blocks.serial != batch.serial) {
    lane.blocks.serial = batch.serial;
    lane.blocks.by_key_set.clear();
  }
  auto& blocks = batch.commit.blocks;
  const auto [at, is_new] = lane.blocks.by_key_set.try_emplace(key_set, blocks.size());
  if (is_new) blocks.emplace_back(store::LaneId{lane.producer, lane.ring}, *keys_.find(key_set));
  return at->second;
}

store::RowBlock& Handler::block_of(Lane& lane, Lane::Kind& kind, Batch& batch) {
  if (kind.serial != batch.serial) {
    kind.serial = batch.serial;
    kind.block = block_index(lane, kind.key_set, batch);
  }
  return batch.commit.blocks[kind.block];
}

Status Handler::handle_row(Lane& lane, const shm::RecordView& record, ProducerNotes& notes,
                           Batch& batch) {
  const size_t index = record.header.kind - shm::kKindRowFirst;
  if (index >= lane.kinds.size() || lane.kinds[index].key_set == 0) {
    return violation("rows of kind " + std::to_string(record.header.kind) +
                     ", which was never registered");
  }
  if ((record.header.flags & shm::kFlagRow) == 0) return violation("a row that is not marked so");
  if (Status s = take_seq(lane, record.header); !s) return s;
  Lane::Kind& kind = lane.kinds[index];
  if (kind.key_set == kRefusedKeySet) {
    ++lane.refused;
    return Error{Code::kTooLarge, "a row of keys for which the run has no columns left"};
  }
  const uint64_t seq = record.header.seq;
  if (const auto row = record::read_row_fast(record.payload_untrusted, kind.key_count)) {
    const auto* bits = reinterpret_cast<const uint64_t*>(row->bits);
    block_of(lane, kind, batch).add_row(seq, row->step, row->time_ns, {bits, kind.key_count});
    notes.next_step = step_after(row->step);
  } else {
    Status read = Done{};
    Status parsed = record::try_read([&] {
      record::MessageView message(record.payload_untrusted);
      const auto slow = message.root<schema::Row>();
      const auto list = slow.getBits();
      if (list.size() != kind.key_count) {
        read = violation("a row with another number of values than its key set");
        return;
      }
      std::vector<uint64_t> bits;
      bits.reserve(list.size());
      for (const uint64_t value : list) bits.push_back(value);
      block_of(lane, kind, batch).add_row(seq, slow.getStep(), slow.getTimeNs(), bits);
      notes.next_step = step_after(slow.getStep());
    });
    if (!parsed) return std::move(parsed.take_error()).in("a row");
    if (!read) return read;
  }
  batch.bytes += 24 + size_t{kind.key_count} * 8;
  ++lane.stored;
  lane.stored_end = seq + 1;
  return Done{};
}

Status Handler::handle_record(Lane& lane, const shm::RecordView& record, ProducerNotes& notes,
                              Batch& batch) {
  Status handled = Done{};
  Status parsed = record::try_read([&] {
    record::MessageView message(record.payload_untrusted);
    handled = dispatch(lane, record, message.root<schema::Record>(), notes, batch);
  });
  if (!parsed) return std::move(parsed.take_error()).in("a record");
  const Code code = handled ? Code::kOk : handled.error().code;
  if (!handled && code != Code::kCorrupt && code != Code::kIo) ++lane.refused;
  return handled;
}

Status Handler::dispatch(Lane& lane, const shm::RecordView& record, schema::Record::Reader reader,
                         ProducerNotes& notes, Batch& batch) {
  const bool is_row = (record.header.flags & shm::kFlagRow) != 0;
  if (reader.isBlob()) return expand_blob(lane, record, reader.getBlob(), notes, batch);
  if (reader.isRow() != is_row) return violation("a record that is wrongly marked as a row");
  switch (reader.which()) {
    case schema::Record::KEY_SET:
      return register_keys(lane, reader.getKeySet(), batch);
    case schema::Record::ROW:
      return add_free_row(lane, record.header.seq, reader.getRow(), notes, batch);
    case schema::Record::REQUEST: {
      auto request = read_request(reader.getRequest());
      if (!request) return request.take_error();
      notes.requests.push_back(*request);
      return Done{};
    }
    default:
      break;
  }
  if (Status s = check_kept(reader); !s) return s;
  if (Status s = check_copy(reader, record.payload_untrusted.size()); !s) return s;
  if (reader.isFinish()) {
    notes.finish = ExitInfo{reader.getFinish().getExitCode(), reader.getFinish().getSignal()};
    notes.is_finish_implied = reader.getFinish().getIsImplied();
  }
  if (reader.isFile()) {
    record::FileFacts file = record::read_file(reader.getFile());
    if (file.state == record::FileState::kAsked && file.policy != SavePolicy::kNow) {
      notes.has_files = true;
      batch.files.push_back({lane.producer, std::move(file)});
    }
  }
  const auto bytes = record.payload_untrusted;
  batch.commit.records.push_back(
      {lane.producer, record.header.seq,
       std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size() & ~size_t{7})});
  batch.bytes += bytes.size();
  return Done{};
}

Status Handler::register_keys(Lane& lane, schema::KeySet::Reader keys, Batch& batch) {
  const uint16_t kind = keys.getKind();
  if (kind < shm::kKindRowFirst) return violation("a key set for kind " + std::to_string(kind));
  const size_t index = kind - shm::kKindRowFirst;
  if (index < lane.kinds.size() && lane.kinds[index].key_set != 0) {
    return violation("kind " + std::to_string(kind) + " registered twice");
  }
  auto columns = read_columns(keys);
  if (!columns) return columns.take_error();
  const auto key_count = static_cast<uint32_t>(columns->size());
  const size_t added_before = batch.commit.key_sets.size();
  auto id = keys_.find_or_add(std::move(*columns), batch.commit.key_sets);
  if (index >= lane.kinds.size()) lane.kinds.resize(index + 1);
  lane.kinds[index] = {id ? *id : kRefusedKeySet, key_count, 0, 0};
  if (!id) return id.take_error();
  if (batch.commit.key_sets.size() > added_before) batch.bytes += size_t{key_count} * 32;
  return Done{};
}

Status Handler::restore_kind(Lane& lane, uint16_t kind, uint32_t key_set) {
  const store::KeySet* keys = keys_.find(key_set);
  const bool is_known = keys != nullptr ? keys->byte_count() == 0 : key_set == kRefusedKeySet;
  if (!is_known || kind < shm::kKindRowFirst) {
    return violation("the store names key set " + std::to_string(key_set) + ", which it has not");
  }
  const size_t index = kind - shm::kKindRowFirst;
  if (index >= lane.kinds.size()) lane.kinds.resize(index + 1);
  const size_t key_count = keys != nullptr ? keys->columns.size() : 0;
  lane.kinds[index] = {key_set, static_cast<uint32_t>(key_count), 0, 0};
  return Done{};
}

Status Handler::add_free_row(Lane& lane, uint64_t seq, schema::FreeRow::Reader row,
                             ProducerNotes& notes, Batch& batch) {
  auto flat = flatten(row);
  if (!flat) return flat.take_error();
  auto id = keys_.find_or_add(std::move(flat->columns), batch.commit.key_sets);
  if (!id) return id.take_error();
  store::RowBlock& block = batch.commit.blocks[block_index(lane, *id, batch)];
  const std::vector<std::string_view> others(flat->others.begin(), flat->others.end());
  block.add_row(seq, row.getStep(), row.getTimeNs(), flat->numbers, others);
  notes.next_step = step_after(row.getStep());
  batch.bytes += 24 + flat->bytes();
  ++lane.stored;
  lane.stored_end = seq + 1;
  return Done{};
}

Status Handler::expand_blob(Lane& lane, const shm::RecordView& record, schema::Blob::Reader blob,
                            ProducerNotes& notes, Batch& batch) {
  const store::BlobId id{lane.producer, blob.getId()};
  auto bytes = fetch_blob_(id);
  if (!bytes) {
    // What is not there or damaged will not come; what cannot be read now will, once the disk
    // answers or somebody has set the store's modes right.
    const Code code = bytes.error().code;
    const bool is_lost = code != Code::kIo && code != Code::kPermission;
    return Error{is_lost ? Code::kNotFound : Code::kIo, "a large record: " + bytes.error().message};
  }
  batch.commit.consumed_blobs.push_back(id);
  if (bytes->size() != blob.getSize()) {
    return Error{Code::kInvalidArgument, "a large record of another size than announced"};
  }
  shm::RecordView large = record;
  large.payload_untrusted = std::as_bytes(std::span(*bytes));
  record::MessageView message(large.payload_untrusted);
  const auto reader = message.root<schema::Record>();
  if (reader.isBlob() || reader.isRequest()) return violation("a large record of a small kind");
  return dispatch(lane, large, reader, notes, batch);
}

}  // namespace ringlog::service
