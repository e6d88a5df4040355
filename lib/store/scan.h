#pragma once
// Reading keys of a LevelDB, for the writing and the reading side alike.  Internal to lib/store.
//
// Checksums are verified.  Plain functions; safe from any thread.

#include <leveldb/db.h>
#include <ringlog/result.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/model.h"

namespace ringlog::store {

// Visits the keys that begin with `prefix` in order, from `begin` on when it is not empty, until
// the visitor answers false or an error, which is returned.  kIo, kCorrupt: the database cannot be
// read.
using KeyVisitor = std::function<Result<bool>(std::string_view key, std::string_view value)>;
Status scan_prefix(leveldb::DB& db, const std::string& prefix, const KeyVisitor& visitor,
                   const std::string& begin = {});

// The value of a key.  kNotFound, kIo, kCorrupt.
Result<std::string> get_value(leveldb::DB& db, const std::string& key);
// The same for a key that is overwritten: right also after a repair, when all tables are of one age
// and a plain Get() may find an older value first.
Result<std::string> get_newest(leveldb::DB& db, const std::string& key);

// The highest lsn among the keys of one kind; nothing when there are none.
Result<std::optional<uint64_t>> last_lsn(leveldb::DB& db, char kind);

// The value of the last key of one kind; nothing when there are none.
Result<std::optional<std::string>> last_value(leveldb::DB& db, char kind);

// All producers, by id, and all key sets, by id.  kIo, kCorrupt.
Result<std::vector<ProducerState>> read_producers(leveldb::DB& db);
Result<std::vector<KeySet>> read_key_sets(leveldb::DB& db);

}  // namespace ringlog::store
