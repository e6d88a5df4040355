#include "store/store.h"

#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/iterator.h>
#include <leveldb/write_batch.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <utility>

#include "store/chunk_writer.h"
#include "store/database.h"
#include "store/directory_lock.h"
#include "store/durable_env.h"
#include "store/keys.h"
#include "store/limits.h"
#include "store/scan.h"
#include "store/storable.h"
#include "store/written_time.h"

namespace ringlog::store {

namespace {

// Tells a commit that is written again from another one; all that a caller could get wrong.
std::string fingerprint(const Commit& commit) {
  std::string print;
  for (const RowBlock& block : commit.blocks) {
    append_be(print, block.producer);
    append_be(print, block.ring);
    append_be(print, uint64_t{block.rows()});
    append_be(print, block.empty() ? 0 : block.seq.back());
  }
  append_be(print, uint64_t{commit.records.size()});
  append_be(print, uint64_t{commit.stats.size()});
  append_be(print, uint64_t{commit.producers.size()});
  append_be(print, uint64_t{commit.ended.size()});
  append_be(print, uint64_t{commit.gone.size()});
  return print;
}

}  // namespace

struct Store::Impl {
  Impl(std::string run_dir, const StoreOptions& store_options)
      : dir(std::move(run_dir)),
        store_dir(dir + "/store"),
        options(store_options),
        env(store_options.env == nullptr ? leveldb::Env::Default() : store_options.env) {}

  Status open(bool create);
  Status load();
  Status ensure_open();
  Status renew_claim(bool always);
  Status fill(const Commit& commit, leveldb::WriteBatch& batch);
  Status fill_rows(const Commit& commit);
  Status fill_state(const Commit& commit, leveldb::WriteBatch& batch);
  Status drop_blobs(uint32_t producer, leveldb::WriteBatch& batch);
  Status write_batch(leveldb::WriteBatch& batch, bool sync);
  Status write_again(const Commit& commit, bool sync);
  void succeeded();
  void rejected();
  enum class Compacted { kNothing, kIntoFirstTable, kAll };
  Compacted compact() const;
  Result<std::string> get(const std::string& key) const;
  std::string where() const { return "store " + store_dir; }

  const std::string dir;
  const std::string store_dir;
  const StoreOptions options;
  std::unique_ptr<DirectoryLock> directory_lock;  // renewed under write_mutex
  DurableEnv env;

  // Held shared while `db` is used, exclusively while it is replaced after a failure.
  mutable std::shared_mutex db_mutex;
  std::unique_ptr<leveldb::DB> db;    // guarded by db_mutex; null when reopening failed
  std::vector<std::string> repaired;  // guarded by db_mutex
  // Held for each write.  After one that failed nothing may be appended to the same log: LevelDB
  // would not find it again.
  std::mutex write_mutex;
  std::atomic<bool> is_broken{false};  // set under write_mutex, cleared under db_mutex

  // The store thread's own.
  std::map<uint32_t, KeySet> key_sets;
  std::vector<uint32_t> new_key_sets;  // of the commit being written
  std::optional<uint32_t> refused;     // whose part of it is looked at, or was refused
  ChunkWriter writer;
  uint64_t next_lsn = 1;
  uint64_t commit_number = 0;  // of the last commit that is in the store
  std::string failed;          // fingerprint of the commit that failed; empty: none
  mutable std::mutex counters_mutex;
  StoreCounters counters;  // guarded by counters_mutex
  int64_t written_ns = 0;  // when it was written before it was opened; 0: it is new
};

Status Store::Impl::open(bool create) {
  Result<Database> opened = open_database(
      store_dir, {.env = &env, .create = create, .write_buffer_size = options.write_buffer_size});
  if (!opened) return opened.take_error();
  db = std::move(opened->db);
  for (std::string& line : opened->repaired) repaired.push_back(std::move(line));
  return Done{};
}

// What the writer must know of what is there.
Status Store::Impl::load() {
  for (const char kind : {tag::kPage, tag::kChunk, tag::kRecord}) {
    Result<std::optional<uint64_t>> last = last_lsn(*db, kind);
    if (!last) return last.take_error().in(where());
    if (*last) next_lsn = std::max(next_lsn, **last + 1);
  }
  Result<std::string> number = get(key::commit());
  if (!number && number.error().code != Code::kNotFound) return number.take_error();
  if (number) commit_number = CommitState::from_bytes(*number).number;
  Result<std::vector<KeySet>> stored = read_key_sets(*db);
  if (!stored) return stored.take_error();
  for (KeySet& keys : *stored) {
    const uint32_t id = keys.id;
    key_sets[id] = std::move(keys);
  }
  return Done{};
}

// Opens the database again after a failed write: if the store is still ours, because opening it
// rewrites files that somebody else may be writing by now.
Status Store::Impl::ensure_open() {
  if (!is_broken.load()) return Done{};
  if (Status renewed = renew_claim(/*always=*/true); !renewed) return renewed;
  const std::unique_lock lock(db_mutex);
  if (!is_broken.load()) return Done{};
  db.reset();
  if (Status opened = open(/*create=*/false); !opened) return opened;
  is_broken.store(false);
  return Done{};
}

Status Store::Impl::renew_claim(bool always) {
  const std::lock_guard lock(write_mutex);
  Status renewed = directory_lock->renew(always);
  return renewed ? renewed : Status(renewed.take_error().in("store"));
}

// A read of state goes through an iterator: after a repair Get() could answer with an older value,
// because it takes the youngest file's, and repaired files are all of one age.
Result<std::string> Store::Impl::get(const std::string& key) const {
  if (db == nullptr) return Error{Code::kIo, where() + ": is closed after an error"};
  return get_newest(*db, key);
}

Status Store::Impl::write_batch(leveldb::WriteBatch& batch, bool sync) {
  if (Status renewed = renew_claim(/*always=*/false); !renewed) return renewed;
  if (Status opened = ensure_open(); !opened) return opened;
  const std::shared_lock db_lock(db_mutex);
  const std::lock_guard lock(write_mutex);
  if (is_broken.load() || db == nullptr) {
    return Error{Code::kIo, where() + ": another write failed just now"};
  }
  leveldb::WriteOptions write_options;
  write_options.sync = sync;
  const leveldb::Status status = db->Write(write_options, &batch);
  if (status.ok()) return Done{};
  is_broken.store(true);
  return error_of(status, where());
}

Status Store::Impl::fill_rows(const Commit& commit) {
  for (const RowBlock& block : commit.blocks) {
    refused = block.producer;
    const auto keys = key_sets.find(block.key_set);
    if (keys == key_sets.end()) {
      return Error{Code::kInvalidArgument,
                   "rows of unknown key set " + std::to_string(block.key_set)};
    }
    if (Status checked = check_block(block, keys->second); !checked) return checked;
    if (Status added = writer.add(block, keys->second); !added) {
      return Error{Code::kInvalidArgument, added.error().message};
    }
  }
  refused.reset();
  for (const uint32_t producer : commit.ended) {
    if (Status closed = writer.close(producer); !closed) return closed;
  }
  return writer.close_excess();
}

// A producer that was killed between handing a blob over and committing its reference leaves it.
Status Store::Impl::drop_blobs(uint32_t producer, leveldb::WriteBatch& batch) {
  const std::shared_lock lock(db_mutex);
  if (db == nullptr) return Error{Code::kIo, where() + ": is closed after an error"};
  return scan_prefix(*db, key::blobs(producer), [&](std::string_view key, std::string_view) {
    batch.Delete(leveldb::Slice(key.data(), key.size()));
    return Result<bool>(true);
  });
}

Status Store::Impl::fill_state(const Commit& commit, leveldb::WriteBatch& batch) {
  for (const RecordEntry& entry : commit.records) {
    refused = entry.producer;
    Result<std::string> bytes = stored_record(entry);
    if (!bytes) return bytes.take_error();
    batch.Put(key::record(next_lsn++), *bytes);
  }
  refused.reset();
  for (const Stats& stats : commit.stats) {
    if (!stats.empty()) batch.Put(key::stats(stats.times_ns.front()), to_bytes(stats));
  }
  for (const KeySet& keys : commit.key_sets) batch.Put(key::key_set(keys.id), to_bytes(keys));
  for (const BlobId& blob : commit.consumed_blobs) batch.Delete(key::blob(blob));
  for (const uint32_t producer : commit.gone) {
    if (Status dropped = drop_blobs(producer, batch); !dropped) return dropped;
  }
  for (const ProducerState& producer : commit.producers) {
    batch.Put(key::producer(producer.producer), to_bytes(producer));
  }
  if (commit.meta) batch.Put(key::meta(), to_bytes(*commit.meta));
  batch.Put(key::commit(), CommitState{commit_number + 1, writer.final_lsn()}.to_bytes());
  return Done{};
}

Status Store::Impl::fill(const Commit& commit, leveldb::WriteBatch& batch) {
  for (const KeySet& keys : commit.key_sets) {
    const auto known = key_sets.find(keys.id);
    if (known == key_sets.end()) {
      key_sets[keys.id] = keys;
      new_key_sets.push_back(keys.id);
    } else if (known->second != keys) {
      return Error{Code::kInvalidArgument,
                   "key set " + std::to_string(keys.id) + " cannot change its columns"};
    }
  }
  refused.reset();
  writer.begin(next_lsn, batch);
  if (Status filled = fill_rows(commit); !filled) return filled;
  return fill_state(commit, batch);
}

void Store::Impl::succeeded() {
  writer.accept();
  ++commit_number;
  new_key_sets.clear();
  failed.clear();
  const std::lock_guard lock(counters_mutex);
  ++counters.commits;
  counters.rows += writer.written().rows;
  counters.chunks += writer.written().chunks;
  counters.rows_merged += writer.written().rows_merged;
  counters.raw_bytes += writer.written().raw_bytes;
}

// Forgets the commit; key sets that came with it are in no store.
void Store::Impl::rejected() {
  writer.reject();
  for (const uint32_t id : new_key_sets) key_sets.erase(id);
  new_key_sets.clear();
  failed.clear();
}

// The commit that failed comes again.  Had it reached the disk after all, its number is there.
Status Store::Impl::write_again(const Commit& commit, bool sync) {
  if (fingerprint(commit) != failed) {
    return Error{Code::kIo, where() + ": the commit that failed must be written first"};
  }
  if (Status opened = ensure_open(); !opened) return opened;
  Result<std::string> number = [&] {
    const std::shared_lock lock(db_mutex);
    return get(key::commit());
  }();
  if (!number && number.error().code != Code::kNotFound) return number.take_error();
  const bool is_stored = number && CommitState::from_bytes(*number).number == commit_number + 1;
  if (is_stored) {
    // Only what is also as safe as it should be counts as written.
    leveldb::WriteBatch nothing;
    Status synced = sync ? write_batch(nothing, /*sync=*/true) : Status(Done{});
    if (synced) succeeded();
    return synced;
  }
  rejected();
  return Done{};
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
// A store in which nothing but watermarks changed keeps its age.
Store::~Store() {
  if (impl_->written_ns == 0 || impl_->counters.commits > 0) return;
  impl_->db.reset();
  set_written_ns(impl_->store_dir, impl_->written_ns);
}

Result<std::unique_ptr<Store>> Store::open(const std::string& dir, StoreOptions options) {
  auto impl = std::make_unique<Impl>(dir, options);
  impl->written_ns = written_ns(impl->store_dir);
  Result<std::unique_ptr<DirectoryLock>> lock =
      DirectoryLock::take(impl->store_dir, options.create);
  if (!lock) return lock.take_error().in("store");
  impl->directory_lock = std::move(*lock);
  if (Status opened = impl->open(options.create); !opened) return opened.take_error();
  if (Status loaded = impl->load(); !loaded) return loaded.take_error().in(impl->where());
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

std::vector<std::string> Store::repaired() const {
  const std::shared_lock lock(impl_->db_mutex);
  return impl_->repaired;
}

const std::string& Store::dir() const { return impl_->dir; }

const std::string& Store::lock_weakness() const { return impl_->directory_lock->weakness(); }

Status Store::write(const Commit& commit, bool sync) {
  if (!impl_->failed.empty()) {
    const uint64_t before = impl_->commit_number;
    Status settled = impl_->write_again(commit, sync);
    if (!settled || impl_->commit_number != before) return settled;
  }
  if (commit.empty()) return sync ? this->sync() : Status(Done{});
  // What is looked up for the commit needs the database, too.
  if (Status opened = impl_->ensure_open(); !opened) return opened;
  leveldb::WriteBatch batch;
  if (Status filled = impl_->fill(commit, batch); !filled) {
    impl_->rejected();
    return filled.take_error().in(impl_->where());
  }
  Status written = impl_->write_batch(batch, sync);
  const bool ok = static_cast<bool>(written);
  if (ok) {
    impl_->succeeded();
  } else {
    impl_->failed = fingerprint(commit);
  }
  const std::lock_guard lock(impl_->counters_mutex);
  impl_->counters.batch_bytes += ok ? batch.ApproximateSize() : 0;
  impl_->counters.syncs += ok && sync ? 1 : 0;
  impl_->counters.failures += ok ? 0 : 1;
  return written;
}

std::optional<uint32_t> Store::refused() const { return impl_->refused; }

Status Store::sync() {
  if (!impl_->failed.empty()) {
    return Error{Code::kIo, impl_->where() + ": a commit that failed must be written again first"};
  }
  leveldb::WriteBatch nothing;
  Status written = impl_->write_batch(nothing, /*sync=*/true);
  const std::lock_guard lock(impl_->counters_mutex);
  ++(written ? impl_->counters.syncs : impl_->counters.failures);
  return written;
}

Status Store::close_chunks(uint32_t producer) {
  Commit commit;
  commit.ended.push_back(producer);
  return write(commit, /*sync=*/false);
}

// What is only in the log becomes one table as it is, with all that was deleted and overwritten, on
// a level that compactions leave alone.  Only a younger table that reaches around it makes LevelDB
// merge it: here that of two deletions, of keys that never exist, before the first one and behind
// the last one.
void Store::tidy() {
  if (impl_->compact() != Impl::Compacted::kIntoFirstTable) return;
  leveldb::WriteBatch around;
  around.Delete(std::string(1, '\0'));
  around.Delete(std::string(1, static_cast<char>(0xFF)));
  if (impl_->write_batch(around, /*sync=*/false)) impl_->compact();
}

Store::Impl::Compacted Store::Impl::compact() const {
  const std::shared_lock lock(db_mutex);
  if (db == nullptr || is_broken.load()) return Compacted::kNothing;
  const bool is_first_table = !has_tables(*db);
  const std::string end(1, static_cast<char>(0xFF));  // behind all keys
  const leveldb::Range all("", end);
  uint64_t size = 0;
  db->GetApproximateSizes(&all, 1, &size);
  // An empty range compacts nothing, but waits for what is being compacted.
  const leveldb::Slice nothing(end);
  const bool is_small = size <= kTidyBytesMax;
  db->CompactRange(is_small ? nullptr : &nothing, is_small ? nullptr : &nothing);
  return is_first_table ? Compacted::kIntoFirstTable : Compacted::kAll;
}

Result<std::optional<RunMeta>> Store::meta() const {
  const std::shared_lock lock(impl_->db_mutex);
  Result<std::string> bytes = impl_->get(key::meta());
  if (!bytes && bytes.error().code == Code::kNotFound) return std::optional<RunMeta>();
  if (!bytes) return bytes.take_error();
  Result<RunMeta> meta = from_bytes<RunMeta>(*bytes);
  if (!meta) return meta.take_error().in(impl_->where());
  return std::optional<RunMeta>(std::move(*meta));
}

Result<std::vector<ProducerState>> Store::producers() const {
  const std::shared_lock lock(impl_->db_mutex);
  if (impl_->db == nullptr) return Error{Code::kIo, impl_->where() + ": is closed after an error"};
  Result<std::vector<ProducerState>> read = read_producers(*impl_->db);
  if (!read) return read.take_error().in(impl_->where());
  return read;
}

Result<std::vector<KeySet>> Store::key_sets() const {
  const std::shared_lock lock(impl_->db_mutex);
  if (impl_->db == nullptr) return Error{Code::kIo, impl_->where() + ": is closed after an error"};
  Result<std::vector<KeySet>> read = read_key_sets(*impl_->db);
  if (!read) return read.take_error().in(impl_->where());
  return read;
}

Status Store::put_blob(BlobId id, std::string_view bytes) {
  if (bytes.size() > kValueBytesMax) {
    return Error{Code::kTooLarge, "a blob of " + std::to_string(bytes.size()) +
                                      " bytes is above the limit of " +
                                      std::to_string(kValueBytesMax)};
  }
  leveldb::WriteBatch batch;
  batch.Put(key::blob(id), leveldb::Slice(bytes.data(), bytes.size()));
  return impl_->write_batch(batch, /*sync=*/false);
}

Result<std::string> Store::get_blob(BlobId id) const {
  const std::shared_lock lock(impl_->db_mutex);
  return impl_->get(key::blob(id));
}

Status Store::put_sink_state(std::string_view sink, const SinkState& state) {
  leveldb::WriteBatch batch;
  batch.Put(key::sink(sink), to_bytes(state));
  return impl_->write_batch(batch, /*sync=*/false);
}

Result<SinkState> Store::sink_state(std::string_view sink) const {
  const std::shared_lock lock(impl_->db_mutex);
  Result<std::string> bytes = impl_->get(key::sink(sink));
  if (!bytes && bytes.error().code == Code::kNotFound) return SinkState();
  if (!bytes) return bytes.take_error();
  return from_bytes<SinkState>(*bytes);
}

StoreCounters Store::counters() const {
  const std::lock_guard lock(impl_->counters_mutex);
  return impl_->counters;
}

}  // namespace ringlog::store
