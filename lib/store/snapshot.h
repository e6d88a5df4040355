#pragma once
// Snapshot: a run's LevelDB as it was at one moment, for reading.  Internal to lib/store.
//
// It takes neither LevelDB's lock nor room on any disk and changes nothing, so it works on a run
// that is being written, on one of another user, and on read-only media.  How: the files are
// captured (tables mapped, the logs and the list of tables copied) and LevelDB opens that view
// (view_env.h). What a batch made visible together is visible together here.
//
// Belongs to one thread at a time; any number may exist.

#include <leveldb/db.h>
#include <ringlog/result.h>

#include <memory>
#include <string>
#include <vector>

#include "store/database.h"
#include "store/view_env.h"

namespace ringlog::store {

class Snapshot {
 public:
  // Captures the store in `dir`.  Mappings of `previous` (may be null) are used again.
  //   kNotFound         there is no store
  //   kIo, kPermission  it cannot be read, or it changes faster than it can be captured
  //   kCorrupt          it is damaged beyond repair (of the view; the files stay as they are)
  //   kVersion          it is of another format version
  // Costs a millisecond, and the replay of at most the writer's log (8 MiB: about 20 ms).
  static Result<std::unique_ptr<Snapshot>> take(const std::string& dir, const Snapshot* previous);
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  leveldb::DB& db() const { return *db_; }
  // What could not be read and is missing from the view, a line each.
  const std::vector<std::string>& damage() const { return damage_; }

 private:
  Snapshot() = default;
  Status open(const std::string& dir);
  Status repair(const std::string& dir, const std::string& why);
  Status check(const std::string& dir) const;
  void add_damage(std::string line);

  Files tables_;  // the mappings, for the next snapshot
  std::unique_ptr<ViewEnv> env_;
  DamageLog log_;
  std::vector<std::string> damage_;
  bool is_incomplete_ = false;       // it is known that something is missing
  std::unique_ptr<leveldb::DB> db_;  // last: goes first
};

}  // namespace ringlog::store
