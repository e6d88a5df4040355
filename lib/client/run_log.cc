// The hot path of RunCore: from a row in the caller's hands to a committed record in the ring.

#include "client/keep_errno.h"
#include "client/pending_reply.h"
#include "client/process.h"
#include "client/ring_use.h"
#include "client/run_core.h"
#include "record/path.h"
#include "shm/failpoint.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <new>
#include <set>

namespace ringlog::client {

constinit thread_local ThreadRings t_rings;

namespace {

using Entries = std::vector<ThreadRings::Entry>;

// Gives the rings of a thread that ends to the threads that come.
void return_rings(void* entries) {
  const std::unique_ptr<Entries> mine(static_cast<Entries*>(entries));
  t_rings = {};
  for (const auto& entry : *mine) entry.session->return_ring(entry.ring);
}

// A key of POSIX threads and no thread_local object, because its destructor runs after those of all
// such objects, which may log too.  The main thread's rings stay: a run in a global logs after it.
void call_at_thread_end(Entries* entries) {
  static const pthread_key_t kKey = [] {
    pthread_key_t key{};
    if (::pthread_key_create(&key, return_rings) != 0) throw std::bad_alloc();
    return key;
  }();
  if (::pthread_setspecific(kKey, entries) != 0) throw std::bad_alloc();
}

Entries& entries_of(ThreadRings& mine) {
  if (mine.entries == nullptr) {
    auto entries = std::make_unique<Entries>();
    call_at_thread_end(entries.get());
    mine.entries = entries.release();
  }
  return *mine.entries;
}

}  // namespace

// The session of a ring that the calling thread uses: without a lock, because log() may run in a
// signal handler.
Session* session_of(const ThreadRing& ring) {
  if (t_rings.entries == nullptr) return nullptr;
  for (const ThreadRings::Entry& entry : *t_rings.entries) {
    if (entry.ring == &ring) return entry.session.get();
  }
  return nullptr;
}

}  // namespace ringlog::client

namespace ringlog::detail {

using client::Session;
using client::ThreadRing;
using record::RowTemplate;

namespace {

// How often a thread that logs looks whether the service is alive.
constexpr uint64_t kCheckEveryNs = 250'000'000;
// Kinds are 16 bits; what no kind is left for travels as free rows.
constexpr uint32_t kKindsMax = 60000;

}  // namespace

ThreadRing* RunCore::find_ring() noexcept {
  const client::KeepErrno errno_kept;
  client::ThreadRings& mine = client::t_rings;
  mine.session_id = client::ThreadRings::kNone;
  if (client::HeldMutex::any_is_mine()) return nullptr;
  try {
    std::shared_ptr<Session> open = session();
    if (!open) open = attach_child();
    if (!open) return nullptr;
    if (!is_exit_watched_.exchange(true, std::memory_order_relaxed)) client::watch_exit_again();
    // Sessions that are over give their place up; their memory goes with the last reference.
    auto& entries = client::entries_of(mine);
    std::erase_if(entries, [&](const auto& e) { return e.session.use_count() == 1; });
    // Room first: a ring that was taken and is in no list would never be given back.
    entries.reserve(entries.size() + 1);
    const auto known = std::find_if(entries.begin(), entries.end(),
                                    [&](const auto& e) { return e.session == open; });
    mine.ring = known != entries.end() ? known->ring : open->take_ring();
    if (known == entries.end()) entries.push_back({open, mine.ring});
    mine.session_id = open->id();
    return mine.ring;
  } catch (const std::exception& e) {
    refuse("log", e);
    return nullptr;
  }
}

void RunCore::note_step(uint64_t step) noexcept {
  // The last step there is follows itself, as the service has it.
  const uint64_t next = step == UINT64_MAX ? step : step + 1;
  // Only a counter; threads that log explicit steps at the same time agree on one of them.
  if (next_step_.load(std::memory_order_relaxed) != next) {
    next_step_.store(next, std::memory_order_relaxed);
  }
}

std::byte* RunCore::make_room(ThreadRing& ring, uint32_t bytes) noexcept {
  Session* const open = client::session_of(ring);
  if (open == nullptr) return nullptr;
  if (client::is_ring_poisoned(*open, ring.index)) {
    ring.is_stalled = true;
    return nullptr;
  }
  if (ring.is_stalled) {
    std::byte* const at = ring.writer.try_reserve(bytes);
    ring.is_stalled = at == nullptr;
    if (ring.is_stalled) look_at_service(*open);
    return at;
  }
  std::byte* const at = open->reserve_or_wait(ring, bytes, row_wait_);
  ring.is_stalled = at == nullptr;
  return at;
}

// Inlined into both callers: what a single row costs is the latency of its instructions.
[[gnu::always_inline]] inline void RunCore::put_row(ThreadRing& ring, const RowTemplate& shape,
                                                    uint64_t step, int64_t time_ns,
                                                    const uint64_t* bits) noexcept {
  const uint64_t seq = ring.writer.take_seq();
  std::byte* at = ring.is_stalled ? nullptr : ring.writer.try_reserve(shape.bytes);
  if (at == nullptr) return put_row_when_full(ring, shape, seq, step, time_ns, bits);
  record::write_row(at, shape, seq, step, time_ns, bits);
  ring.writer.commit(shape.bytes);
  // Also after a row of another time: what the program says of a row need not be now, and may be as
  // far from it as 64 bits allow.
  const uint64_t left = static_cast<uint64_t>(ring.next_check_ns) - static_cast<uint64_t>(time_ns);
  if (left - 1 >= kCheckEveryNs) [[unlikely]]
    check_ring(ring, time_ns);
}

void RunCore::check_ring(ThreadRing& ring, int64_t time_ns) noexcept {
  const client::KeepErrno errno_kept;
  ring.next_check_ns = static_cast<int64_t>(static_cast<uint64_t>(time_ns) + kCheckEveryNs);
  Session* const open = client::session_of(ring);
  if (open == nullptr) return;
  look_at_service(*open);
  // From here on rows are counted as dropped, which the service can tell from missing ones.
  if (client::is_ring_poisoned(*open, ring.index)) ring.is_stalled = true;
}

void RunCore::put_row_when_full(ThreadRing& ring, const RowTemplate& shape, uint64_t seq,
                                uint64_t step, int64_t time_ns, const uint64_t* bits) noexcept {
  const client::KeepErrno errno_kept;
  std::byte* at = make_room(ring, shape.bytes);
  if (at != nullptr && !ring.pending.is_empty()) {
    // What was kept while the ring was full comes first; only then there is room for this row.
    at = ring.pending.write(ring.writer) ? ring.writer.try_reserve(shape.bytes) : nullptr;
    ring.is_stalled = at == nullptr;
  }
  if (at != nullptr) {
    record::write_row(at, shape, seq, step, time_ns, bits);
    return ring.writer.commit(shape.bytes);
  }
  const Session* const open = client::session_of(ring);
  const bool is_lost = open == nullptr || client::is_ring_poisoned(*open, ring.index);
  if (is_lost || spec_.settings.full_ring != FullRing::kCoalesce) return ring.writer.count_drop();
  try {
    ring.pending.keep(ring.writer, shape, seq, step, time_ns, bits);
  } catch (const std::exception&) {
    ring.writer.count_drop();
  }
}

namespace {

// A row that cannot be written whatever room there is.
void drop_attempt(ThreadRing& ring) {
  ring.writer.take_seq();
  ring.writer.count_drop();
}

}  // namespace

void RunCore::settle_unlogged(ThreadRing& ring) noexcept {
  for (uint64_t left = unlogged_rows_.exchange(0, std::memory_order_relaxed); left > 0; --left) {
    drop_attempt(ring);
  }
}

void RunCore::refuse_cells(size_t values, size_t keys) noexcept {
  try {
    refuse({Code::kInvalidArgument, "row.log: " + std::to_string(values) + " values for " +
                                        std::to_string(keys) + " keys; the row is dropped"});
  } catch (const std::exception& e) {
    refuse("row.log", e);
  }
}

void RunCore::log_row(const RowCore& row, uint64_t step, std::span<const double> cells) noexcept {
  const RingUse use(*this);
  if (use.ring() == nullptr) return count_unlogged();
  ThreadRing& ring = *use.ring();
  if (cells.size() != row.keys.size()) {
    drop_attempt(ring);
    return refuse_cells(cells.size(), row.keys.size());
  }
  const RowTemplate* shape = ring.templates.find_row(row.ordinal);
  if (shape == nullptr) shape = register_row(ring, row);
  if (shape != nullptr) {
    put_row(ring, *shape, step, ring.clock.now_ns(),
            reinterpret_cast<const uint64_t*>(cells.data()));
  } else if (ring.templates.next_kind() > kKindsMax && !row.is_refused) {
    log_row_free(ring, row, step, cells);
  } else {
    drop_attempt(ring);
  }
  note_step(step);
}

void RunCore::log_row_free(ThreadRing& ring, const RowCore& row, uint64_t step,
                           std::span<const double> cells) noexcept {
  try {
    std::vector<Item> items;
    for (size_t i = 0; i < cells.size(); ++i) items.push_back({row.keys[i], cells[i]});
    log_free(ring, items, step, ring.clock.now_ns());
  } catch (const std::exception& e) {
    drop_attempt(ring);
    refuse("row.log", e);
  }
}

size_t RunCore::row_ordinal(const std::vector<std::string>& keys) {
  const std::lock_guard lock(mutex_);
  return row_ordinals_.try_emplace(keys, row_ordinals_.size()).first->second;
}

void RunCore::log_items(std::span<const Item> items, const LogOptions& options) noexcept {
  const RingUse use(*this);
  if (use.ring() == nullptr) return count_unlogged();
  ThreadRing& ring = *use.ring();
  const int64_t time_ns = options.time_ns ? *options.time_ns : ring.clock.now_ns();
  uint64_t step = 0;
  if (options.step) {
    step = *options.step;
    options.commit ? note_step(step) : next_step_.store(step, std::memory_order_relaxed);
  } else if (options.commit) {
    step = next_step_.fetch_add(1, std::memory_order_relaxed);
    if (step == UINT64_MAX) [[unlikely]]
      note_step(step);
  } else {
    step = next_step_.load(std::memory_order_relaxed);
  }
  try {
    if (!log_template(ring, items, step, time_ns)) log_free(ring, items, step, time_ns);
  } catch (const std::exception& e) {
    drop_attempt(ring);
    refuse("log", e);
  }
}

bool RunCore::log_template(ThreadRing& ring, std::span<const Item> items, uint64_t step,
                           int64_t time_ns) {
  // Rows of this many keys are patched on the stack; longer ones are rare and travel as free rows.
  constexpr size_t kKeysMax = 512;
  if (items.size() > kKeysMax) return false;
  std::array<uint64_t, kKeysMax> bits;  // NOLINT: only the first items.size() words are used
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].value.is_number()) return false;
    bits[i] = items[i].value.bits();
  }
  const RowTemplate* shape = ring.templates.find(items);
  if (shape == nullptr) shape = register_items(ring, items);
  if (shape == nullptr) return false;
  put_row(ring, *shape, step, time_ns, bits.data());
  return true;
}

void RunCore::log_free(ThreadRing& ring, std::span<const Item> items, uint64_t step,
                       int64_t time_ns) {
  const client::KeepErrno errno_kept;
  if (Status s = record::check_items(items); !s) {
    Error why = std::move(s.take_error()).in("log: the row is dropped");
    drop_attempt(ring);
    return refuse(std::move(why));
  }
  const record::Words words = record::encode_free_row(step, time_ns, items);
  // From here on nothing throws: the attempt is counted once, as a row or as a drop.
  const uint64_t seq = ring.writer.take_seq();
  if (!write_for_row(ring, words, shm::kFlagRow, seq)) ring.writer.count_drop();
}

namespace {

schema::ColumnType column_type(Value::Type type) {
  switch (type) {
    case Value::Type::kInt64:
      return schema::ColumnType::INT64;
    case Value::Type::kUint64:
      return schema::ColumnType::UINT64;
    case Value::Type::kBool:
      return schema::ColumnType::BOOL;
    default:
      return schema::ColumnType::FLOAT64;
  }
}

std::string one_key_path(std::string_view key) {
  std::string path;
  record::append_key(path, key);
  return path;
}

bool has_repeated_path(const std::vector<record::ColumnSpec>& columns) {
  std::set<std::string_view> seen;
  for (const auto& column : columns) {
    if (!seen.insert(column.path).second) return true;
  }
  return false;
}

}  // namespace

const RowTemplate* RunCore::register_items(ThreadRing& ring, std::span<const Item> items) {
  const client::KeepErrno errno_kept;
  if (ring.templates.is_full() || ring.templates.next_kind() > kKindsMax) return nullptr;
  std::vector<record::ColumnSpec> columns;
  for (const Item& item : items) {
    if (!record::check_key(item.key)) return nullptr;  // log_free() says why
    columns.push_back({one_key_path(item.key), column_type(item.value.type())});
  }
  // A key that repeats is resolved by the service, which keeps the last one.
  if (has_repeated_path(columns)) return nullptr;
  const record::Words words =
      record::encode_key_set(ring.templates.next_kind(), columns, shm::realtime_ns());
  // Remembered first: a kind that the service knows and we do not would be used twice.
  const RowTemplate* const shape = ring.templates.add(items);
  if (write_for_row(ring, words, 0, ring.writer.next_seq())) {
    RINGLOG_FAILPOINT("after_key_set");
    return shape;
  }
  ring.templates.take_back();
  return nullptr;
}

const RowTemplate* RunCore::register_row(ThreadRing& ring, const RowCore& row) noexcept {
  const client::KeepErrno errno_kept;
  try {
    if (row.is_refused || ring.templates.next_kind() > kKindsMax) return nullptr;
    std::vector<record::ColumnSpec> columns;
    for (const std::string& key : row.keys) {
      columns.push_back({one_key_path(key), schema::ColumnType::FLOAT64});
    }
    const record::Words words =
        record::encode_key_set(ring.templates.next_kind(), columns, shm::realtime_ns());
    const RowTemplate* const shape = ring.templates.add_row(row.ordinal, row.keys.size());
    if (write_for_row(ring, words, 0, ring.writer.next_seq())) return shape;
    ring.templates.take_back_row(row.ordinal);
    return nullptr;
  } catch (const std::exception& e) {
    refuse("row", e);
    return nullptr;
  }
}

}  // namespace ringlog::detail
