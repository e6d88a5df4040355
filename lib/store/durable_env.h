#pragma once
// DurableEnv: makes LevelDB's sync mean everything written before it.  Internal to lib/store.
//
// LevelDB syncs only its newest log.  When a log is full it is closed unsynced and its rows are on
// their way into a table; a power cut just then would lose them although a later sync returned.
// This environment keeps such a log open and syncs it first, until LevelDB deletes it because the
// table is on disk.  A new log's directory entry is synced with its first sync.
//
// Called by LevelDB from its own threads; must outlive the DB that uses it.

#include <leveldb/env.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace ringlog::store {

class DurableEnv : public leveldb::EnvWrapper {
 public:
  explicit DurableEnv(leveldb::Env* base) : EnvWrapper(base) {}
  ~DurableEnv() override;

  leveldb::Status NewWritableFile(const std::string& name, leveldb::WritableFile** file) override;
  leveldb::Status RemoveFile(const std::string& name) override;

 private:
  class LogFile;
  // Keeps a closed log until it is synced or removed.
  void retire(const std::string& name, std::unique_ptr<leveldb::WritableFile> file);
  leveldb::Status sync_retired();

  std::mutex mutex_;
  // Guarded by mutex_.  LevelDB has at most one log that is full and not yet a table, so two here
  // are the most.
  std::map<std::string, std::unique_ptr<leveldb::WritableFile>> retired_;
};

}  // namespace ringlog::store
