#pragma once
// InfluxSink: rows as InfluxDB's line protocol, for InfluxDB 1 and 2, VictoriaMetrics and whoever
// else reads it.
//
//   influx+http[s]://[USER@]HOST:PORT/DATABASE[?rp=NAME]          POST /write
//   influx+http[s]://HOST:PORT/?org=NAME&bucket=NAME              POST /api/v2/write
//
// The password is read from INFLUX_PASSWORD or ~/.netrc, a token from INFLUX_TOKEN.  One line a
// row: a measurement, tags that name the rank, a field for each metric.  A line that is sent again
// has the same tags and time, so that it replaces itself, and no other line has them
// (influx_times.h); what decides about that is the cursor.  docs/sinks.md says what gets lost on
// the way.
//
// Network thread only.

#include "daemon/sinks/http_sink.h"
#include "daemon/sinks/influx_times.h"

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace ringlog::service {

class InfluxSink final : public HttpSink {
 public:
  InfluxSink(HttpServer server, const SinkParts& parts) : HttpSink(std::move(server), parts) {}

  Limits limits() const override;
  Status open(const store::RunMeta& run, const std::string& cursor) override;
  size_t add(const store::RowView& row) override;
  uint64_t left_out() const override { return left_out_; }
  std::string cursor() const override { return times_.to_text(); }
  void clear() override;

 protected:
  std::optional<Call> next() override;
  SendResult judge(const HttpAnswer& answer) override;

 private:
  struct Cell {
    size_t index = 0;
    store::ColumnType type = store::ColumnType::kFloat64;
    std::string name;  // escaped
  };
  const std::vector<Cell>& cells_of(const store::RowView& row);

  std::string head_;                                       // measurement and the run's tags
  std::unordered_map<uint32_t, std::vector<Cell>> cells_;  // by key set
  InfluxTimes times_;                                      // behind what was acknowledged
  // The batch.
  std::string lines_;
  InfluxTimes next_times_;  // behind it
  uint64_t left_out_ = 0;   // rows that lack a cell
  bool is_sent_ = false;
};

// As make_sink(); without parts it only checks the URL.
Result<std::unique_ptr<Sink>> make_influx_sink(const std::string& url, const SinkParts* parts);

}  // namespace ringlog::service
