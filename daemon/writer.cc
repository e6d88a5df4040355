#include "daemon/writer.h"

#include "daemon/footer.h"
#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/port.h"
#include "daemon/reply.h"
#include "shm/failpoint.h"
#include "store/reader.h"

#include <unistd.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

namespace ringlog::service {

namespace {

// Takes the rows of a block out of what the batch says of its producer.
void uncount(Batch& batch, const store::RowBlock& block) {
  const uint64_t rows = block.rows();
  batch.stripped.push_back({block.lane(), rows});
  for (store::ProducerState& state : batch.commit.producers) {
    if (state.producer != block.producer || block.ring >= state.rings.size()) continue;
    store::RingState& ring = state.rings[block.ring];
    ring.missing += std::min(ring.stored, rows);
    ring.stored -= std::min(ring.stored, rows);
  }
  for (Progress& progress : batch.progress) {
    if (progress.port->producer == block.producer) {
      progress.stored -= std::min(progress.stored, rows);
    }
  }
}

// The store refuses what the handler made: a mistake of ours that must not stop the run, and costs
// only whose part it is.  The rows are then missing, which `ringlog verify` counts.  False: there
// is nothing that could be left out.
bool strip(Batch& batch, const Stream& stream, const Error& why) {
  const std::optional<uint32_t> producer = stream.store->refused();
  const auto is_refused = [&](const auto& part) { return !producer || part.producer == *producer; };
  uint64_t rows = 0;
  for (const store::RowBlock& block : batch.commit.blocks) {
    if (!is_refused(block)) continue;
    rows += block.rows();
    uncount(batch, block);
  }
  const size_t blocks = std::erase_if(batch.commit.blocks, is_refused);
  const size_t records = std::erase_if(batch.commit.records, is_refused);
  std::erase_if(batch.files, is_refused);
  log().critical("run {}: {} rows and {} records of producer {} are not storable: {}",
                 stream.info.run_id, rows, records, producer.value_or(0), why.message);
  return blocks + records > 0;
}

}  // namespace

void Writer::submit(std::shared_ptr<Stream> stream, std::unique_ptr<Batch> batch) {
  // A std::function must be copyable, so the batch travels in a shared box.
  auto pending = std::make_shared<Pending>(Pending{std::move(stream), std::move(batch), 0});
  queue_.post([this, pending] {
    if (!write(*pending)) failing_.push_back(std::move(*pending));
  });
}

void Writer::run() {
  for (;;) {
    queue_.wait(clock_.monotonic_ms(), next_ms());
    if (!queue_.run()) break;
    retry_due(false);
    sync_due(false);
  }
  retry_due(true);
  sync_due(true);
  for (const Pending& pending : failing_) {
    log().error("run {}: the last batch could not be stored; its rows stay in shared memory",
                pending.stream->info.run_id);
  }
  failing_.clear();
  unsynced_.clear();
}

int64_t Writer::next_ms() const {
  int64_t next = std::numeric_limits<int64_t>::max();
  for (const Pending& pending : failing_) next = std::min(next, pending.next_try_ms);
  for (const auto& stream : unsynced_) {
    next = std::min(next, stream->writes.unsynced_since_ms + kSyncIntervalMs);
  }
  return next;
}

// False: it is to be tried again.
bool Writer::write(Pending& pending) {
  Stream& stream = *pending.stream;
  Stream::Writes& writes = stream.writes;
  const bool is_sync_due = writes.unsynced_since_ms != 0 &&
                           clock_.monotonic_ms() - writes.unsynced_since_ms >= kSyncIntervalMs;
  const bool is_synced = pending.batch->is_synced || is_sync_due ||
                         stream.is_every_write_synced.load(std::memory_order_relaxed);
  RINGLOG_FAILPOINT("before_write");
  Status written = stream.store->write(pending.batch->commit, is_synced);
  while (!written && written.error().code == Code::kInvalidArgument) {
    if (!strip(*pending.batch, stream, written.error())) break;
    written = stream.store->write(pending.batch->commit, is_synced);
  }
  RINGLOG_FAILPOINT("after_write");
  if (!written) {
    fail(pending, written.error());
    return false;
  }
  if (writes.failures > 0) {
    log().info("run {}: the store can be written again", stream.info.run_id);
    writes.failures = 0;
    stream.board.set_store_error("");
    for (const Progress& progress : pending.batch->progress) {
      progress.port->tell("run " + stream.info.run_id + ": the store can be written again");
    }
  }
  finish(pending, is_synced);
  return true;
}

void Writer::fail(Pending& pending, const Error& why) {
  Stream& stream = *pending.stream;
  if (stream.writes.failures++ == 0) {
    log().error("run {}: the store cannot be written, trying again every second: {}",
                stream.info.run_id, why.message);
    for (const Progress& progress : pending.batch->progress) {
      progress.port->tell(
          "run " + stream.info.run_id +
          ": rows wait in shared memory, the store cannot be written: " + why.message);
    }
  }
  stream.board.set_store_error(why.message);
  pending.next_try_ms = clock_.monotonic_ms() + kWriteRetryMs;
}

void Writer::finish(Pending& pending, bool was_synced) {
  Batch& batch = *pending.batch;
  RINGLOG_FAILPOINT("before_give_back");
  give_back(batch, *pending.stream, was_synced);
  if (!pending.stream->writes.unsynced.empty()) unsynced_.insert(pending.stream);
  for (const FileAsk& file : batch.files) {
    const auto owner =
        std::find_if(batch.progress.begin(), batch.progress.end(),
                     [&](const Progress& p) { return p.port->producer == file.producer; });
    files_.watch(pending.stream, file.producer,
                 owner == batch.progress.end() ? nullptr : owner->port, file.facts);
  }
  RINGLOG_FAILPOINT("before_answers");
  for (const Answer& due : batch.answers) answer(pending.stream, batch, due);
  if (!batch.commit.empty()) network_.more(pending.stream);
  stored_(std::move(pending.stream), std::move(pending.batch));
}

void Writer::give_back(const Batch& batch, Stream& stream, bool was_synced) {
  Stream::Writes& writes = stream.writes;
  for (const Progress& progress : batch.progress) {
    Port& port = *progress.port;
    for (const auto& [ring, position] : progress.positions) port.readers[ring].give_back(position);
    port.stored_rows = progress.stored;
    shm::ServiceWords& words = port.segment->service();
    words.stored_rows.store(progress.stored, std::memory_order_relaxed);
    writes.unsynced.insert(progress.port);
    // Its last state is in the store, so the next service has no use for the file.
    if (progress.is_last && !port.path.empty()) ::unlink(port.path.c_str());
  }
  if (was_synced) {
    for (const auto& port : writes.unsynced) {
      port->synced_rows.store(port->stored_rows, std::memory_order_relaxed);
      port->segment->service().synced_rows.store(port->stored_rows, std::memory_order_relaxed);
    }
    writes.unsynced.clear();
    writes.unsynced_since_ms = 0;
  } else if (writes.unsynced_since_ms == 0 && !writes.unsynced.empty()) {
    writes.unsynced_since_ms = clock_.monotonic_ms();
  }
}

void Writer::answer(const std::shared_ptr<Stream>& stream, const Batch& batch,
                    const Answer& answer) {
  const auto progress = std::find_if(batch.progress.begin(), batch.progress.end(),
                                     [&](const Progress& p) { return p.port == answer.port; });
  if (progress == batch.progress.end()) return;
  switch (answer.request.kind) {
    case RequestKind::kFlush:
      return answer_flush(stream, answer, *progress);
    case RequestKind::kFinish:
      return answer_finish(stream, answer, *progress);
    case RequestKind::kSummary:
      return network_.post([this, stream, answer] {
        auto reader = store::RunReader::open(stream->info.dir);
        auto summary = reader ? (*reader)->summary() : Result<store::Tree>(reader.take_error());
        deliver(*answer.port, answer.request,
                summary ? summary_reply(store::to_json(*summary))
                        : error_reply(summary.error().message),
                large_);
      });
    case RequestKind::kFooter:
      return network_.post([this, stream, answer] {
        auto reader = store::RunReader::open(stream->info.dir);
        deliver(*answer.port, answer.request,
                reader ? footer_reply(**reader) : error_reply(reader.error().message), large_);
      });
    case RequestKind::kRunInfo:
      return;  // answered by the intake
  }
}

// Once its files are copied, too.
void Writer::answer_finish(const std::shared_ptr<Stream>& stream, const Answer& answer,
                           const Progress& progress) {
  FinishReport report{progress.attempted, progress.stored, progress.dropped};
  files_.end(stream, answer.port->producer,
             [this, port = answer.port, request = answer.request, report](const KeptFiles& kept) {
               FinishReport whole = report;
               whole.sent = port->sent_rows.load(std::memory_order_relaxed);
               whole.files = kept.files;
               whole.file_bytes = kept.bytes;
               whole.files_failed = kept.failed;
               deliver(*port, request, finish_reply(whole), large_);
             });
}

void Writer::answer_flush(const std::shared_ptr<Stream>& stream, const Answer& answer,
                          const Progress& progress) {
  const std::shared_ptr<Port> port = answer.port;
  const auto reply = [this, port, request = answer.request, stored = progress.stored] {
    deliver(*port, request,
            flush_reply({stored, port->synced_rows.load(std::memory_order_relaxed),
                         port->sent_rows.load(std::memory_order_relaxed)}),
            large_);
  };
  if (answer.request.level != Durability::kSent) return reply();
  network_.when_sent(stream, port, progress.ends, reply);
}

bool Writer::sync(Stream& stream) {
  if (const Status synced = stream.store->sync(); !synced) {
    if (stream.writes.failures++ == 0) {
      log().error("run {}: the store cannot be synced: {}", stream.info.run_id,
                  synced.error().message);
    }
    stream.writes.unsynced_since_ms = clock_.monotonic_ms();  // again in a second
    return false;
  }
  for (const auto& port : stream.writes.unsynced) {
    port->synced_rows.store(port->stored_rows, std::memory_order_relaxed);
    port->segment->service().synced_rows.store(port->stored_rows, std::memory_order_relaxed);
  }
  stream.writes.unsynced.clear();
  stream.writes.unsynced_since_ms = 0;
  return true;
}

void Writer::sync_due(bool all) {
  const int64_t now = clock_.monotonic_ms();
  std::erase_if(unsynced_, [&](const std::shared_ptr<Stream>& stream) {
    if (stream->writes.unsynced.empty()) return true;
    if (!all && now - stream->writes.unsynced_since_ms < kSyncIntervalMs) return false;
    return sync(*stream);
  });
}

void Writer::retry_due(bool all) {
  const int64_t now = clock_.monotonic_ms();
  for (auto pending = failing_.begin(); pending != failing_.end();) {
    const bool is_due = all || pending->next_try_ms <= now;
    pending = is_due && write(*pending) ? failing_.erase(pending) : std::next(pending);
  }
}

std::unique_ptr<store::Store> Writer::release(Stream& stream) {
  if (!stream.writes.unsynced.empty()) sync(stream);
  stream.writes.unsynced.clear();
  std::erase_if(unsynced_, [&](const auto& other) { return other.get() == &stream; });
  return std::move(stream.store);
}

}  // namespace ringlog::service
