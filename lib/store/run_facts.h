#pragma once
// What is known of a run besides its rows: config, summary, metrics, the loss ledger.  Internal to
// lib/store; see RunReader.
//
// Plain functions; safe from any thread that may read the index and the database.

#include <leveldb/db.h>
#include <ringlog/result.h>

#include <map>
#include <string>
#include <vector>

#include "store/aggregate.h"
#include "store/metric_rules.h"
#include "store/reader.h"
#include "store/run_index.h"

namespace ringlog::store {

Status visit_records(leveldb::DB& db, std::optional<uint16_t> kind, uint64_t from_lsn,
                     const RecordVisitor& visitor);
Result<Tree> read_config(leveldb::DB& db);
// What run.summary() set, merged in the order it was stored.
Result<Tree> read_explicit_summary(leveldb::DB& db);
Result<MetricRules> read_rules(leveldb::DB& db);
// Of every metric that was ever a number, from the statistics of the chunks: nothing is decoded.
Result<AggregatesByPath> read_aggregates(const RunIndex& index, const ValueSource& source);
// Last cells by path.
Result<std::map<std::string, LastCell>> read_last_cells(const RunIndex& index,
                                                        const ValueSource& source);
// `needs_numbers`: also where no rule asks for them.
Result<SummaryFacts> read_summary_facts(leveldb::DB& db, const RunIndex& index,
                                        const ValueSource& source, bool needs_numbers);
std::vector<Metric> list_metrics(const RunIndex& index);
Result<std::vector<LedgerEntry>> read_ledger(const RunIndex& index, const ValueSource& source);

}  // namespace ringlog::store
