#include "store/snapshot.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <optional>
#include <utility>

#include "shm/posix.h"
#include "store/files.h"
#include "store/limits.h"

namespace ringlog::store {

namespace {

// Everything in the log stays in memory when it is replayed: no table is built for it.
constexpr size_t kViewBufferBytes = size_t{256} << 20;
// Views that LevelDB refuses are captured again this often, then they are taken for damaged.
constexpr int kOpenTriesMax = 3;

// kNotFound, kPermission, kIo.
Result<std::string> read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return shm::errno_error(path);
  std::string bytes;
  constexpr size_t kStep = size_t{1} << 20;
  for (;;) {
    const size_t before = bytes.size();
    bytes.resize(before + kStep);
    const ssize_t got = ::read(fd, bytes.data() + before, kStep);
    if (got < 0 && errno == EINTR) {
      bytes.resize(before);
      continue;
    }
    bytes.resize(before + (got > 0 ? static_cast<size_t>(got) : 0));
    if (got > 0) continue;
    const Error error = got < 0 ? shm::errno_error(path) : Error{};
    ::close(fd);
    if (got < 0) return error;
    return bytes;
  }
}

Result<std::vector<std::string>> list_files(const std::string& dir) {
  DIR* stream = opendir(dir.c_str());
  if (stream == nullptr) return shm::errno_error(dir);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(stream)) names.emplace_back(entry->d_name);
  closedir(stream);
  return names;
}

// The number that LevelDB gave a log; none: not a log.
std::optional<uint64_t> log_number(std::string_view name) {
  if (!name.ends_with(".log")) return std::nullopt;
  const std::string_view digits = name.substr(0, name.size() - 4);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

// Captures a folder of LevelDB files, possibly while LevelDB writes there.
class Capture {
 public:
  Capture(const std::string& dir, Files previous) : dir_(dir), known_(std::move(previous)) {}

  // First: the logs.
  Status read_logs();
  // True: `files` and `tables` hold one moment, not before read_logs().  False: the folder changed
  // meanwhile, try again; each try finds more of the tables mapped already.
  Result<bool> add_tables();

  Files files;   // all of them
  Files tables;  // the mapped ones of them
  bool is_log_missing = false;

 private:
  struct Anchor {
    std::string current;
    std::string manifest_name;
    std::optional<std::string> manifest;  // absent: CURRENT names a file that is not there
  };
  Result<Anchor> read_anchor() const;
  Result<bool> is_unchanged(const Anchor& anchor) const;
  Status map_tables(const std::vector<std::string>& names);

  const std::string& dir_;
  Files known_;  // tables that are mapped
  Files logs_;
};

// CURRENT and the manifest it names.  Without CURRENT: empty, and LevelDB will call it damaged.
Result<Capture::Anchor> Capture::read_anchor() const {
  Anchor anchor;
  Result<std::string> current = read_file(dir_ + "/CURRENT");
  if (!current && current.error().code == Code::kNotFound) return anchor;
  if (!current) return current.take_error();
  anchor.current = std::move(*current);
  anchor.manifest_name = anchor.current.substr(0, anchor.current.find('\n'));
  // A name with a folder in it would be damage that leads elsewhere.
  if (anchor.manifest_name.find('/') != std::string::npos) return anchor;
  Result<std::string> manifest = read_file(dir_ + "/" + anchor.manifest_name);
  if (manifest) {
    anchor.manifest = std::move(*manifest);
  } else if (manifest.error().code != Code::kNotFound && !anchor.manifest_name.empty()) {
    return manifest.take_error();
  }
  return anchor;
}

// The manifest only grows, and another one has another name.
Result<bool> Capture::is_unchanged(const Anchor& anchor) const {
  Result<std::string> current = read_file(dir_ + "/CURRENT");
  if (!current && current.error().code != Code::kNotFound) return current.take_error();
  if ((current ? *current : std::string()) != anchor.current) return false;
  if (!anchor.manifest) return true;
  struct stat info {};
  if (stat((dir_ + "/" + anchor.manifest_name).c_str(), &info) != 0) return false;
  return static_cast<size_t>(info.st_size) == anchor.manifest->size();
}

Status Capture::map_tables(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (!is_table(name)) continue;
    const std::string path = dir_ + "/" + name;
    const auto known = known_.find(name);
    if (known != known_.end() &&
        static_cast<const MappedFile*>(known->second.get())->is_still(path)) {
      tables[name] = known->second;
      continue;
    }
    Result<std::shared_ptr<const MappedFile>> mapped = MappedFile::map(path);
    if (mapped) {
      tables[name] = known_[name] = std::move(*mapped);
    } else if (mapped.error().code != Code::kNotFound) {
      return mapped.take_error();
    }
    // A table that is gone was either dropped by a compaction that had ended before, and then
    // nobody misses it, or LevelDB will say that it does.
  }
  return Done{};
}

// All logs but the newest were complete when they were listed, and so when they are read.  One that
// is made while the folder is listed may be listed or not, so only those are taken that are no
// newer than an earlier list: of them the second list has every one, but those whose rows are in
// tables by now.
Status Capture::read_logs() {
  logs_.clear();
  Result<std::vector<std::string>> before = list_files(dir_);
  if (!before) return before.take_error();
  std::optional<uint64_t> newest;
  for (const std::string& name : *before) newest = std::max(newest, log_number(name));
  Result<std::vector<std::string>> names = list_files(dir_);
  if (!names) return names.take_error();
  for (const std::string& name : *names) {
    const std::optional<uint64_t> number = log_number(name);
    if (!number || number > newest) continue;
    Result<std::string> bytes = read_file(dir_ + "/" + name);
    if (bytes) {
      logs_[name] = std::make_shared<MemoryFile>(std::move(*bytes));
    } else if (bytes.error().code != Code::kNotFound) {
      return bytes.take_error();
    }
  }
  return Done{};
}

// The manifest is read after the logs, so that it tells of every table that replaced one of them,
// and must be the same after the tables are mapped, or one of them could be gone before.  What is
// in younger logs is not in the view, as if it was not written yet.
Result<bool> Capture::add_tables() {
  files = logs_;
  tables.clear();
  Result<Anchor> anchor = read_anchor();
  if (!anchor) return anchor.take_error();
  Result<std::vector<std::string>> names = list_files(dir_);
  if (!names) return names.take_error();
  if (Status mapped = map_tables(*names); !mapped) return mapped.take_error();
  Result<bool> unchanged = is_unchanged(*anchor);
  if (!unchanged || !*unchanged) return unchanged;
  files.insert(tables.begin(), tables.end());
  is_log_missing = logs_.empty() && store::is_log_missing(*names, anchor->current);
  if (!anchor->current.empty()) {
    files["CURRENT"] = std::make_shared<MemoryFile>(anchor->current);
  }
  if (anchor->manifest) {
    files[anchor->manifest_name] = std::make_shared<MemoryFile>(std::move(*anchor->manifest));
  }
  return true;
}

Status capture(Capture& capture, const std::string& dir) {
  if (Status logs = capture.read_logs(); !logs) return logs;
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(kSnapshotPatienceMs);
  do {
    Result<bool> done = capture.add_tables();
    if (!done) return done.take_error();
    if (*done) return Done{};
  } while (std::chrono::steady_clock::now() < deadline);
  return Error{Code::kIo, dir + ": changes faster than it can be read"};
}

leveldb::Options view_options(ViewEnv& env, DamageLog& log) {
  leveldb::Options options = database_options(&env, kViewBufferBytes);
  options.info_log = &log;
  options.paranoid_checks = false;  // what a damaged log still holds is wanted
  options.reuse_logs = true;        // keeps the replayed log in memory instead of building a table
  return options;
}

bool has_store(const Files& files) {
  return std::any_of(files.begin(), files.end(),
                     [](const auto& file) { return is_store_file(file.first); });
}

}  // namespace

Status Snapshot::open(const std::string& dir) {
  leveldb::DB* db = nullptr;
  const leveldb::Status status = leveldb::DB::Open(view_options(*env_, log_), ViewEnv::kDir, &db);
  db_.reset(db);
  if (status.IsInvalidArgument()) return Error{Code::kCorrupt, dir + ": " + invalid_text(status)};
  if (!status.ok()) {
    Error error = error_of(status, dir);
    // Files of a view cannot be missing for another reason.
    if (error.code == Code::kNotFound || error.code == Code::kIo) error.code = Code::kCorrupt;
    return error;
  }
  const std::vector<std::string> damaged = damaged_tables(*db_, *env_, ViewEnv::kDir);
  if (!damaged.empty()) return Error{Code::kCorrupt, dir + ": damaged table " + damaged.front()};
  return Done{};
}

// LevelDB names the files of the view, people know those of the folder.
void Snapshot::add_damage(std::string line) {
  const std::string prefix = std::string(ViewEnv::kDir) + "/";
  for (size_t at = line.find(prefix); at != std::string::npos; at = line.find(prefix, at)) {
    line.erase(at, prefix.size());
  }
  damage_.push_back(std::move(line));
}

// Repairs the view; the files themselves are left alone.
Status Snapshot::repair(const std::string& dir, const std::string& why) {
  is_incomplete_ = true;
  add_damage(why);
  db_.reset();
  const leveldb::Status status = leveldb::RepairDB(ViewEnv::kDir, view_options(*env_, log_));
  if (!status.ok()) return error_of(status, dir);
  return open(dir);
}

// The format stands in the oldest table: when that is lost the rest can still be read.
Status Snapshot::check(const std::string& dir) const {
  Status format = check_format(*db_, dir);
  if (format || !is_incomplete_) return format;
  if (format.error().code == Code::kNotFound) {
    return Error{Code::kCorrupt, dir + ": nothing of it can be read: " + damage_.front()};
  }
  return has_format(*db_) ? format : Status(Done{});
}

Result<std::unique_ptr<Snapshot>> Snapshot::take(const std::string& dir, const Snapshot* previous) {
  Capture files(dir, previous == nullptr ? Files() : previous->tables_);
  std::unique_ptr<Snapshot> snapshot;
  Status opened = Done{};
  for (int tries = 0; tries < kOpenTriesMax; ++tries) {
    if (Status captured = capture(files, dir); !captured) {
      Error error = captured.take_error();
      if (error.code == Code::kNotFound) error.message = dir + ": there is no run";
      return error;
    }
    if (!has_store(files.files)) return Error{Code::kNotFound, dir + ": there is no run"};
    snapshot.reset(new Snapshot());
    snapshot->tables_ = files.tables;
    snapshot->env_ = std::make_unique<ViewEnv>(files.files);
    opened = snapshot->open(dir);
    if (opened || opened.error().code != Code::kCorrupt) break;
  }
  if (!opened && opened.error().code == Code::kCorrupt) {
    opened = snapshot->repair(dir, opened.error().message);
  }
  if (!opened) return opened.take_error();
  if (files.is_log_missing) {
    snapshot->is_incomplete_ = true;
    snapshot->add_damage(dir + ": " + std::string(kLogIsMissing));
  }
  for (std::string& line : snapshot->log_.take()) snapshot->add_damage(std::move(line));
  if (Status checked = snapshot->check(dir); !checked) return checked.take_error();
  return snapshot;
}

}  // namespace ringlog::store
