#include "store/database.h"

#include <leveldb/iterator.h>
#include <leveldb/write_batch.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <map>
#include <sstream>

#include "store/files.h"
#include "store/keys.h"
#include "store/limits.h"

namespace ringlog::store {

namespace {

using leveldb::Status;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool is_data_file(std::string_view name) {
  return is_store_file(name) || name.starts_with("MANIFEST-");
}

// Whether the log is gone although there was one.
bool has_lost_log(leveldb::Env& env, const std::string& dir) {
  std::vector<std::string> names;
  std::string current;
  return env.GetChildren(dir, &names).ok() &&
         leveldb::ReadFileToString(&env, dir + "/CURRENT", &current).ok() &&
         is_log_missing(names, current);
}

enum class Contents { kNothing, kFilesWithoutCurrent, kDatabase };

Contents contents_of(leveldb::Env& env, const std::string& dir) {
  std::vector<std::string> names;
  if (!env.GetChildren(dir, &names).ok()) return Contents::kNothing;
  if (std::find(names.begin(), names.end(), "CURRENT") != names.end()) return Contents::kDatabase;
  return std::any_of(names.begin(), names.end(), is_store_file) ? Contents::kFilesWithoutCurrent
                                                                : Contents::kNothing;
}

Error open_error(const Status& status, const std::string& dir) {
  const std::string text = status.ToString();
  // Where flock(2) did not notice it, LevelDB's lock does.
  const bool is_locked = status.IsIOError() && contains(text, "lock ") &&
                         (contains(text, "Resource temporarily unavailable") ||
                          contains(text, "already held by process"));
  if (is_locked) return {Code::kIo, "store " + dir + ": another service writes this run"};
  return error_of(status, "store " + dir);
}

// What RepairDB moved aside.
void list_lost(leveldb::Env& env, const std::string& dir, std::vector<std::string>& lines) {
  std::vector<std::string> names;
  if (!env.GetChildren(dir + "/lost", &names).ok()) return;
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (is_data_file(name))
      lines.push_back(std::string("moved to ").append(dir).append("/lost: ") + name);
  }
}

struct Opening {
  const std::string& dir;
  leveldb::Options options;
  std::vector<std::string> repaired{};

  Status repair(const std::string& why);
  Status open(std::unique_ptr<leveldb::DB>& db);
  Status open_checked(std::unique_ptr<leveldb::DB>& db);
};

Status Opening::repair(const std::string& why) {
  // RepairDB does not look whether somebody writes.
  leveldb::FileLock* lock = nullptr;
  Status status = options.env->LockFile(dir + "/LOCK", &lock);
  if (!status.ok()) return status;
  DamageLog log;
  leveldb::Options with_log = options;
  with_log.info_log = &log;
  status = leveldb::RepairDB(dir, with_log);
  options.env->UnlockFile(lock);
  repaired.push_back(why);
  for (std::string& line : log.take()) repaired.push_back(std::move(line));
  list_lost(*options.env, dir, repaired);
  return status;
}

Status Opening::open(std::unique_ptr<leveldb::DB>& db) {
  leveldb::DB* opened = nullptr;
  Status status = leveldb::DB::Open(options, dir, &opened);
  db.reset(opened);
  return status;
}

// Opens; what LevelDB would notice only later counts as corruption now, while it can be repaired.
Status Opening::open_checked(std::unique_ptr<leveldb::DB>& db) {
  Status status = open(db);
  if (status.IsInvalidArgument()) return Status::Corruption(invalid_text(status));
  if (!status.ok()) return status;
  const std::vector<std::string> damaged = damaged_tables(*db, *options.env, dir);
  if (!damaged.empty()) status = Status::Corruption("damaged table", damaged.front());
  std::string version;
  leveldb::ReadOptions read;
  read.verify_checksums = true;
  if (status.ok()) status = db->Get(read, key::format(), &version);
  return status.IsNotFound() ? Status::OK() : status;
}

Status write_format(leveldb::DB& db) {
  std::string version;
  append_be(version, kFormatVersion);
  leveldb::WriteOptions options;
  options.sync = true;
  return db.Put(options, key::format(), version);
}

Status read_format(leveldb::DB& db, std::string& version) {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  return db.Get(options, key::format(), &version);
}

bool is_empty(leveldb::DB& db) {
  const std::unique_ptr<leveldb::Iterator> it(db.NewIterator({}));
  it->SeekToFirst();
  return !it->Valid() && it->status().ok();
}

// Names and sizes of the tables that the database is made of now.
std::map<std::string, uint64_t> live_tables(leveldb::DB& db) {
  std::string text;
  db.GetProperty("leveldb.sstables", &text);
  std::map<std::string, uint64_t> tables;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    unsigned long long number = 0;
    unsigned long long size = 0;
    if (std::sscanf(line.c_str(), " %llu:%llu[", &number, &size) != 2) continue;
    char name[32];
    std::snprintf(name, sizeof(name), "%06llu.ldb", number);
    tables[name] = size;
  }
  return tables;
}

}  // namespace

Error error_of(const leveldb::Status& status, const std::string& where) {
  const std::string text = status.ToString();
  const std::string message = where + ": " + text;
  if (status.IsNotFound()) return {Code::kNotFound, message};
  if (status.IsCorruption()) return {Code::kCorrupt, message};
  if (contains(text, std::strerror(EACCES)) || contains(text, std::strerror(EPERM))) {
    return {Code::kPermission, message};
  }
  return {Code::kIo, message};
}

std::string invalid_text(const leveldb::Status& status) {
  const std::string text = status.ToString();
  return contains(text, "does not exist") ? "the file CURRENT is missing or empty" : text;
}

void DamageLog::Logv(const char* format, va_list arguments) {
  char line[512];
  std::vsnprintf(line, sizeof(line), format, arguments);
  std::string text(line);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  static constexpr std::string_view kTelling[] = {"orrupt",  "ropp", "gnoring",
                                                  "epaired", "lost", "rchiving"};
  const bool tells = std::any_of(std::begin(kTelling), std::end(kTelling),
                                 [&](std::string_view part) { return contains(text, part); });
  // A file that was turned into a table is put aside, and the reason for a repair is known.
  const bool is_noise = text.ends_with(": OK") || text.starts_with("Error recovering version set");
  unsigned long long files = 0;
  unsigned long long bytes = 0;
  const size_t at = text.find("recovered ");
  if (text.starts_with("**** Repaired") && at != std::string::npos &&
      std::sscanf(text.c_str() + at, "recovered %llu files; %llu bytes", &files, &bytes) == 2) {
    text = "put together again from " + std::to_string(files) + " of its files with " +
           std::to_string(bytes) + " bytes; what was only in others is lost";
  }
  const std::lock_guard lock(mutex_);
  if (tells && !is_noise && lines_.size() < kDamageLinesMax) lines_.push_back(std::move(text));
}

std::vector<std::string> DamageLog::take() {
  const std::lock_guard lock(mutex_);
  return std::move(lines_);
}

leveldb::Options database_options(leveldb::Env* env, size_t write_buffer_size) {
  leveldb::Options options;
  options.env = env;
  options.write_buffer_size = write_buffer_size == 0 ? kWriteBufferBytes : write_buffer_size;
  options.max_file_size = kTableBytesMax;
  options.compression = leveldb::kNoCompression;  // pages are compressed already
  options.paranoid_checks = true;
  return options;
}

std::vector<std::string> damaged_tables(leveldb::DB& db, leveldb::Env& env,
                                        const std::string& dir) {
  std::vector<std::string> damaged;
  for (const auto& [name, size] : live_tables(db)) {
    uint64_t real_size = 0;
    if (!env.GetFileSize(dir + "/" + name, &real_size).ok() || real_size != size) {
      damaged.push_back(name);
    }
  }
  if (damaged.empty()) return damaged;
  // A compaction in the background may have merged and removed what was live a moment ago.
  const std::map<std::string, uint64_t> still = live_tables(db);
  std::erase_if(damaged, [&](const std::string& name) { return !still.contains(name); });
  return damaged;
}

bool has_tables(leveldb::DB& db) { return !live_tables(db).empty(); }

bool has_format(leveldb::DB& db) {
  std::string version;
  return !read_format(db, version).IsNotFound();
}

ringlog::Status check_format(leveldb::DB& db, const std::string& dir) {
  std::string version;
  const Status status = read_format(db, version);
  if (status.IsNotFound() && is_empty(db)) {
    return Error{Code::kNotFound, "store " + dir + ": is empty, its run is just being created"};
  }
  if (status.IsNotFound()) {
    return Error{Code::kVersion, "store " + dir + ": has no format version, expected " +
                                     std::to_string(kFormatVersion)};
  }
  if (!status.ok()) return error_of(status, "store " + dir);
  const uint32_t found = version.size() == 4 ? read_be<uint32_t>(version, 0) : 0;
  if (found != kFormatVersion) {
    return Error{Code::kVersion, "store " + dir + ": has format version " + std::to_string(found) +
                                     ", this program reads version " +
                                     std::to_string(kFormatVersion)};
  }
  return Done{};
}

Result<Database> open_database(const std::string& dir, const DatabaseWish& wish) {
  const Contents contents = contents_of(*wish.env, dir);
  if (contents == Contents::kNothing) {
    if (!wish.create) return Error{Code::kNotFound, "store " + dir + ": there is no run"};
  }
  Opening opening{dir, database_options(wish.env, wish.write_buffer_size)};
  // Never with files around: LevelDB would start over and delete them.
  opening.options.create_if_missing = contents == Contents::kNothing;

  if (has_lost_log(*wish.env, dir)) opening.repaired.emplace_back(kLogIsMissing);

  Database out;
  Status status = contents == Contents::kFilesWithoutCurrent
                      ? Status::Corruption("there are data files but no CURRENT file")
                      : opening.open_checked(out.db);
  if (status.IsCorruption()) {
    out.db.reset();
    status = opening.repair(status.ToString());
    if (status.ok()) status = opening.open_checked(out.db);
  }
  if (!status.ok()) return open_error(status, dir);
  out.repaired = std::move(opening.repaired);

  // A new store, one whose first write a crash prevented, or one whose first table was lost.
  std::string version;
  status = read_format(*out.db, version);
  if (status.IsNotFound() && (is_empty(*out.db) || !out.repaired.empty())) {
    status = write_format(*out.db);
    if (!status.ok()) return open_error(status, dir);
  }
  if (ringlog::Status format = check_format(*out.db, dir); !format) return format.take_error();
  return out;
}

}  // namespace ringlog::store
