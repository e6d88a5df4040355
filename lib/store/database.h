#pragma once
// A store's LevelDB: its options, opening, checking and repairing it, and its errors as ours.
// Internal to lib/store.
//
// Plain functions; safe from any thread.

#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/options.h>
#include <ringlog/result.h>

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace ringlog::store {

// LevelDB's status as an Error; must not be ok.  An absent key is kNotFound, a damaged file
// kCorrupt, wrong ownership or mode kPermission, anything else kIo.
Error error_of(const leveldb::Status& status, const std::string& where);

// What LevelDB means by kInvalidArgument of an open: with files around, "does not exist" says that
// the file CURRENT is missing or lies.
std::string invalid_text(const leveldb::Status& status);

// Keeps the lines of LevelDB's log that tell of damage; drops the others.
class DamageLog : public leveldb::Logger {
 public:
  void Logv(const char* format, va_list arguments) override;
  std::vector<std::string> take();

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;  // guarded by mutex_; at most kDamageLinesMax
};

leveldb::Options database_options(leveldb::Env* env, size_t write_buffer_size);

struct Database {
  std::unique_ptr<leveldb::DB> db;
  std::vector<std::string> repaired;  // what a repair gave up; empty: none was needed
};

struct DatabaseWish {
  leveldb::Env* env = nullptr;
  bool create = false;
  size_t write_buffer_size = 0;
};
// Opens the LevelDB in the folder `dir`, which exists and is locked, for writing, repairs it once
// when it is damaged, and checks or writes the format version.  Errors as Store::open.
Result<Database> open_database(const std::string& dir, const DatabaseWish& wish);

// The format of an open database.
//   kVersion   another format, or none although there is data
//   kNotFound  none, and no data: the run is just being created
Status check_format(leveldb::DB& db, const std::string& dir);

// False when all there is stands in the log.
bool has_tables(leveldb::DB& db);

// False when the database says nothing about its format.
bool has_format(leveldb::DB& db);

// Names of the live tables whose file is shorter or longer than LevelDB remembers, or is gone.
std::vector<std::string> damaged_tables(leveldb::DB& db, leveldb::Env& env, const std::string& dir);

}  // namespace ringlog::store
