#pragma once
// ClickHouseSink: a run in the tables of clickhouse_tables.h, over ClickHouse's HTTP interface.
//
//   clickhouse+http[s]://[USER@]HOST:PORT[/DATABASE][?compress=none|gzip|zstd][&timeout_s=N]
//
// The password is read from CLICKHOUSE_PASSWORD or ~/.netrc.  Every value is exact: doubles with
// all their bits, integers of 64 bits in a column of their own, times in nanoseconds.  A point is
// named by (project, run, metric, rank, attempt, seq, source), so that sending it twice leaves one
// row; `source` tells two stores apart that call a run the same.
//
// Network thread only.  docs/sinks.md.

#include "daemon/sinks/clickhouse_tables.h"
#include "daemon/sinks/http_sink.h"
#include "daemon/sinks/row_binary.h"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace ringlog::service {

class ClickHouseSink final : public HttpSink {
 public:
  ClickHouseSink(HttpServer server, const SinkParts& parts) : HttpSink(std::move(server), parts) {}

  Limits limits() const override;
  Status open(const store::RunMeta& run, const std::string& cursor) override;
  size_t add(const store::RowView& row) override;
  size_t add(const store::RecordView& record, const store::ProducerState& producer) override;
  Status add_facts(store::RunReader& run) override;
  // The version of the last facts.
  std::string cursor() const override {
    return updated_ns_ == 0 ? "" : std::to_string(updated_ns_);
  }
  void clear() override;

 protected:
  std::optional<Call> next() override;
  SendResult judge(const HttpAnswer& answer) override;

 private:
  // A cell of a key set and the columns that its point begins with.
  struct Cell {
    size_t index = 0;
    store::ColumnType type = store::ColumnType::kFloat64;
    std::string head;
  };
  const std::vector<Cell>& cells_of(const store::RowView& row);
  void add_values(const store::Tree& tree, ClickHouseTable table, uint64_t updated_ns);
  RowBinary& rows(ClickHouseTable table) { return rows_[static_cast<size_t>(table)]; }
  // What every row begins with: project and run.
  void begin(ClickHouseTable table) { rows(table).raw(head_); }
  Call call_of(const std::string& query, std::string body) const;
  size_t bytes() const;

  std::string head_;                                       // project and run, encoded
  uint64_t source_ = 0;                                    // of the store
  std::unordered_map<uint32_t, std::vector<Cell>> cells_;  // by key set
  std::array<RowBinary, kClickHouseTables> rows_;          // of the batch
  size_t tables_made_ = 0;
  uint64_t updated_ns_ = 0;  // of the last facts; never less, whatever the clock says
};

// As make_sink(); without parts it only checks the URL.
Result<std::unique_ptr<Sink>> make_clickhouse_sink(const std::string& url, const SinkParts* parts);

}  // namespace ringlog::service
