#include "daemon/file_keeper.h"

#include <sys/resource.h>

#include <algorithm>
#include <limits>

#include "daemon/limits.h"
#include "daemon/log.h"

namespace ringlog::service {

namespace {

// One service writes a run, and one thread of it copies.
constexpr const char* kDraft = ".ringlog-service.part";

// Training comes first.
constexpr int kNicenessOfCopies = 10;

}  // namespace

void FileKeeper::run() {
  ::setpriority(PRIO_PROCESS, 0, kNicenessOfCopies);  // of this thread alone
  do {
    const int64_t now = clock_.monotonic_ms();
    for (auto& [key, owner] : owners_) {
      for (File& file : owner.files) look(owner, file, now);
    }
    queue_.wait(clock_.monotonic_ms(), next_look_ms());
  } while (queue_.run());
}

int64_t FileKeeper::next_look_ms() const {
  int64_t next = std::numeric_limits<int64_t>::max();
  for (const auto& [key, owner] : owners_) {
    for (const File& file : owner.files) next = std::min(next, file.next_ms);
  }
  return next;
}

void FileKeeper::watch(const std::shared_ptr<Stream>& stream, uint32_t producer,
                       const std::shared_ptr<Port>& port, record::FileFacts file) {
  const Key key{stream->info.dir, producer};
  {
    const std::lock_guard lock(mutex_);
    known_[key] = true;
  }
  queue_.post([this, key, stream, port, file = std::move(file)] {
    Owner& owner = owners_[key];
    owner.producer = key.second;
    owner.stream = stream;
    if (port) owner.port = port;
    owner.is_done = false;
    add(owner, file);
  });
}

void FileKeeper::add(Owner& owner, record::FileFacts facts) {
  const auto same = std::find_if(owner.files.begin(), owner.files.end(),
                                 [&](const File& file) { return file.facts.name == facts.name; });
  if (same != owner.files.end()) {
    same->facts.source = std::move(facts.source);
    same->facts.policy = facts.policy;
    same->facts.state = record::FileState::kAsked;
    same->copied = {};
    return;
  }
  if (owner.files.size() >= kFilesPerProcessMax) {
    facts.is_final = true;
    File refused{.facts = std::move(facts)};
    return fail(
        owner, refused,
        {Code::kTooLarge, std::to_string(kFilesPerProcessMax) + " files of a process are allowed"});
  }
  File file{.facts = std::move(facts)};
  if (file.facts.policy != SavePolicy::kLive) file.next_ms = std::numeric_limits<int64_t>::max();
  owner.files.push_back(std::move(file));
}

void FileKeeper::introduce(const std::string& run_dir, const std::shared_ptr<Port>& port) {
  if (!has(run_dir, port->producer)) return;
  queue_.post([this, key = Key(run_dir, port->producer), port] { owners_[key].port = port; });
}

bool FileKeeper::has(const std::string& run_dir, uint32_t producer) const {
  const std::lock_guard lock(mutex_);
  const auto known = known_.find({run_dir, producer});
  return known != known_.end() && known->second;
}

bool FileKeeper::is_busy(const std::string& run_dir) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(known_.begin(), known_.end(), [&](const auto& known) {
    return known.first.first == run_dir && known.second;
  });
}

void FileKeeper::forget(const std::string& run_dir) {
  const std::lock_guard lock(mutex_);
  std::erase_if(known_, [&](const auto& known) { return known.first.first == run_dir; });
  queue_.post([this, run_dir] {
    std::erase_if(owners_, [&](const auto& owner) { return owner.first.first == run_dir; });
  });
}

void FileKeeper::when_idle(const std::function<void()>& done) { queue_.post(done); }

void FileKeeper::end(const std::shared_ptr<Stream>& stream, uint32_t producer, WhenKept done) {
  const Key key{stream->info.dir, producer};
  const bool is_known = [&] {
    const std::lock_guard lock(mutex_);
    return known_.contains(key);
  }();
  if (!is_known) return done({});
  queue_.post([this, key, done = std::move(done)] {
    const auto owner = owners_.find(key);
    if (owner == owners_.end()) return done({});
    if (!owner->second.is_done) finish(key, owner->second);
    if (owner->second.is_done) done(owner->second.result);
  });
}

void FileKeeper::look(const Owner& owner, File& file, int64_t now_ms) {
  if (now_ms < file.next_ms || is_stopping()) return;
  file.next_ms = now_ms + kFileLookMs;
  const auto stamp = shm::stamp_of(file.facts.source);
  // Not there yet, or just being replaced; what it is in the end counts.
  if (!stamp || *stamp == file.copied) return;
  const bool stands_still = *stamp == file.seen;
  file.seen = *stamp;
  if (file.changing_since_ms == 0) file.changing_since_ms = now_ms;
  if (!stands_still && now_ms - file.changing_since_ms < kFileChangingMs) return;
  file.changing_since_ms = 0;
  const bool is_news = file.facts.state != record::FileState::kKept;
  uint64_t uncounted = 0;
  const Status copied = copy(owner, file, uncounted);
  const int64_t done_ms = clock_.monotonic_ms();
  file.next_ms = done_ms + std::max(kFileLookMs, (done_ms - now_ms) * kFileRestFactor);
  if (copied) {
    if (is_news) report_(owner.stream, owner.producer, file.facts);
  } else if (!is_stopping()) {
    file.next_ms = done_ms + kFileRetryMs;
    fail(owner, file, copied.error());
  }
}

// Counts what it copies down from `bytes_left`, and tells the process.
Status FileKeeper::copy(const Owner& owner, File& file, uint64_t& bytes_left) {
  auto copied = shm::copy_file({.source = file.facts.source,
                                .folder = owner.stream->info.dir + "/files",
                                .name = file.facts.name,
                                .draft = kDraft,
                                .is_synced = true,
                                .on_bytes = [&](uint64_t bytes) {
                                  bytes_left -= std::min(bytes_left, bytes);
                                  if (bytes_left > 0) tell_left(owner, bytes_left);
                                  return !is_stopping();
                                }});
  if (!copied) return copied.take_error();
  file.copied = copied->stamp;
  file.facts.state = record::FileState::kKept;
  file.facts.size = copied->stamp.size;
  file.facts.problem = copied->has_changed ? "it changed each time it was copied" : "";
  return Done{};
}

void FileKeeper::fail(const Owner& owner, File& file, const Error& why) {
  const bool is_said = file.facts.state == record::FileState::kFailed;
  file.facts.state = record::FileState::kFailed;
  file.facts.size = 0;
  file.facts.problem = why.message;
  if (is_said && !file.facts.is_final) return;
  report_(owner.stream, owner.producer, file.facts);
  if (is_said) return;
  const std::string text =
      "run " + owner.stream->info.run_id + ": the file " + file.facts.name + " is not kept: ";
  log().warn("{}{}", text, why.message);
  if (owner.port) owner.port->tell(text + why.message);
}

void FileKeeper::tell_left(const Owner& owner, uint64_t bytes) {
  if (!owner.port) return;
  owner.port->segment->service().file_bytes_left.store(bytes, std::memory_order_relaxed);
}

void FileKeeper::finish(const Key& key, Owner& owner) {
  uint64_t bytes_left = 0;
  for (const File& file : owner.files) {
    const auto stamp = shm::stamp_of(file.facts.source);
    if (stamp && *stamp != file.copied) bytes_left += stamp->size;
  }
  tell_left(owner, bytes_left);
  for (File& file : owner.files) {
    if (!file.facts.is_final) finish_file(owner, file, bytes_left);
    if (is_stopping()) return;  // the next service goes on
  }
  tell_left(owner, 0);
  owner.files.clear();
  owner.stream.reset();
  owner.port.reset();
  owner.is_done = true;
  const std::lock_guard lock(mutex_);
  known_[key] = false;
}

void FileKeeper::finish_file(Owner& owner, File& file, uint64_t& bytes_left) {
  const bool is_kept = file.facts.state == record::FileState::kKept;
  const auto stamp = shm::stamp_of(file.facts.source);
  Status copied = Done{};
  if (!stamp) {
    copied = stamp.error();
  } else if (*stamp != file.copied) {
    copied = copy(owner, file, bytes_left);
  }
  if (is_stopping()) return;
  file.facts.is_final = true;
  if (!copied && !is_kept) {
    ++owner.result.failed;
    return fail(owner, file, copied.error());
  }
  if (!copied) file.facts.problem = "its last state was not copied: " + copied.error().message;
  ++owner.result.files;
  owner.result.bytes += file.facts.size;
  report_(owner.stream, owner.producer, file.facts);
}

void FileKeeper::stop() {
  is_stopping_.store(true, std::memory_order_relaxed);
  queue_.stop();
}

}  // namespace ringlog::service
