#pragma once
// The tables that a run is spread over in ClickHouse; docs/sinks.md describes their columns.
//
// Constants and plain functions.  Only what every ClickHouse since 18.16 understands is used: plain
// types, ReplacingMergeTree, ORDER BY.  The key of each table names one thing that was logged, so
// that what is sent twice becomes one row.

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace ringlog::service {

enum class ClickHouseTable : size_t {
  kPoints,
  kConsole,
  kEvents,
  kRuns,
  kRanks,
  kConfig,
  kSummary,
};
inline constexpr size_t kClickHouseTables = 7;

std::string_view table_name(ClickHouseTable table);
// CREATE TABLE IF NOT EXISTS …
std::string create_query(ClickHouseTable table);
// INSERT INTO … FORMAT RowBinary: the columns in the order of the sink's rows, whatever others the
// table may have.
std::string insert_query(ClickHouseTable table);

}  // namespace ringlog::service
