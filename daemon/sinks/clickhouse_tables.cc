#include "daemon/sinks/clickhouse_tables.h"

namespace ringlog::service {

namespace {

struct Definition {
  std::string_view name;
  std::string_view columns;  // "name Type, name Type"; no type has a comma outside parentheses
  std::string_view engine;
  std::string_view order;
};

constexpr std::string_view kValueColumns =
    "value Float64, type Enum8('float64' = 0, 'int64' = 1, 'uint64' = 2, 'bool' = 3, 'text' = 4, "
    "'json' = 5), integer Int64, text String";

// Every row of the same key is the same row, so any of them may stay.
constexpr std::string_view kAny = "ReplacingMergeTree()";
// The newest stays.
constexpr std::string_view kNewest = "ReplacingMergeTree(updated_ns)";

constexpr std::array<Definition, kClickHouseTables> kTables = {{
    {"ringlog_points",
     "project String, run String, metric String, rank Int32, attempt Int32, seq UInt64, "
     "step UInt64, time_ns Int64, {values}, source UInt64",
     kAny, "project, run, metric, rank, attempt, seq, source"},
    {"ringlog_console",
     "project String, run String, rank Int32, attempt Int32, id UInt64, time_ns Int64, "
     "stream Enum8('stdout' = 0, 'stderr' = 1), data String, source UInt64",
     kAny, "project, run, id, source"},
    {"ringlog_events",
     "project String, run String, rank Int32, attempt Int32, id UInt64, time_ns Int64, "
     "kind Enum8('alert' = 0, 'file' = 1, 'finish' = 2, 'metric' = 3), name String, level String, "
     "text String, source UInt64",
     kAny, "project, run, id, source"},
    {"ringlog_runs",
     "project String, run String, host String, name String, run_group String, tags Array(String), "
     "notes String, command Array(String), version String, state String, created_ns Int64, "
     "ended_ns Int64, updated_ns UInt64, source UInt64",
     kNewest, "project, run, source"},
    {"ringlog_ranks",
     "project String, run String, rank Int32, attempt Int32, worker UInt32, producer UInt32, "
     "host String, pid Int32, state String, exit_code Int32, signal Int32, cause String, "
     "started_ns Int64, ended_ns Int64, rows UInt64, dropped UInt64, updated_ns UInt64, "
     "source UInt64",
     kNewest, "project, run, rank, attempt, worker, producer, source"},
    {"ringlog_config",
     "project String, run String, key String, {values}, updated_ns UInt64, "
     "source UInt64",
     kNewest, "project, run, key, source"},
    {"ringlog_summary",
     "project String, run String, key String, {values}, updated_ns UInt64, "
     "source UInt64",
     kNewest, "project, run, key, source"},
}};

const Definition& definition(ClickHouseTable table) { return kTables[static_cast<size_t>(table)]; }

std::string columns_of(const Definition& of) {
  constexpr std::string_view kPlace = "{values}";
  std::string columns(of.columns);
  const size_t at = columns.find(kPlace);
  if (at != std::string::npos) columns.replace(at, kPlace.size(), kValueColumns);
  return columns;
}

// The names alone: the first word of each column.
std::string names_of(std::string_view columns) {
  std::string names;
  size_t depth = 0;
  bool is_name = true;
  for (const char c : columns) {
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (c == ' ' && !names.empty() && names.back() != ' ') is_name = false;
    if (c == ',' && depth == 0) {
      names += ", ";
      is_name = true;
    } else if (is_name && c != ' ') {
      names += c;
    }
  }
  return names;
}

}  // namespace

std::string_view table_name(ClickHouseTable table) { return definition(table).name; }

std::string create_query(ClickHouseTable table) {
  const Definition& of = definition(table);
  return "CREATE TABLE IF NOT EXISTS " + std::string(of.name) + " (" + columns_of(of) +
         ") ENGINE = " + std::string(of.engine) + " ORDER BY (" + std::string(of.order) + ")";
}

std::string insert_query(ClickHouseTable table) {
  const Definition& of = definition(table);
  return "INSERT INTO " + std::string(of.name) + " (" + names_of(columns_of(of)) +
         ") FORMAT RowBinary";
}

}  // namespace ringlog::service
