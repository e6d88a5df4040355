#pragma once
// What is known of a run besides its rows: config, summary, metrics, the loss ledger.  Internal to
// lib/store; see RunReader.
//
// Plain functions; safe from any thread that may read the index and the database.

#include <leveldb/db.h>
#include <ringlog/result.h>

#include <vector>

#include "store/reader.h"
#include "store/run_index.h"

namespace ringlog::store {

Status visit_records(leveldb::DB& db, std::optional<uint16_t> kind, uint64_t from_lsn,
                     const RecordVisitor& visitor);
Result<Tree> read_config(leveldb::DB& db);
Result<Tree> read_summary(leveldb::DB& db, const RunIndex& index, const ValueSource& source);
std::vector<Metric> list_metrics(const RunIndex& index);
Result<std::vector<LedgerEntry>> read_ledger(const RunIndex& index, const ValueSource& source);

}  // namespace ringlog::store
