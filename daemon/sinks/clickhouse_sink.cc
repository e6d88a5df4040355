#include "daemon/sinks/clickhouse_sink.h"

#include "daemon/limits.h"
#include "daemon/names.h"
#include "daemon/sinks/clickhouse_error.h"
#include "record/path.h"
#include "shm/posix.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <limits>
#include <map>
#include <utility>

namespace ringlog::service {

namespace {

using Table = ClickHouseTable;

// Values of the columns `type`; see kValueColumns.
enum class Type : int8_t { kFloat64, kInt64, kUint64, kBool, kText, kJson };

void write_value(RowBinary& out, double value, Type type, int64_t integer, std::string_view text) {
  out.number(value);
  out.number(static_cast<int8_t>(type));
  out.number(integer);
  out.text(text);
}

void write_cell(RowBinary& out, store::ColumnType type, uint64_t bits) {
  const auto integer = static_cast<int64_t>(bits);
  switch (type) {
    case store::ColumnType::kFloat64:
      return write_value(out, std::bit_cast<double>(bits), Type::kFloat64, 0, "");
    case store::ColumnType::kInt64:
      return write_value(out, static_cast<double>(integer), Type::kInt64, integer, "");
    case store::ColumnType::kUint64:
      return write_value(out, static_cast<double>(bits), Type::kUint64, integer, "");
    case store::ColumnType::kBool:
      return write_value(out, bits != 0 ? 1 : 0, Type::kBool, bits != 0 ? 1 : 0, "");
    case store::ColumnType::kOther:
      return;
  }
}

void write_tree(RowBinary& out, const store::Tree& tree) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  if (const auto* number = std::get_if<double>(&tree.value)) {
    write_cell(out, store::ColumnType::kFloat64, std::bit_cast<uint64_t>(*number));
  } else if (const auto* integer = std::get_if<int64_t>(&tree.value)) {
    write_cell(out, store::ColumnType::kInt64, static_cast<uint64_t>(*integer));
  } else if (const auto* positive = std::get_if<uint64_t>(&tree.value)) {
    write_cell(out, store::ColumnType::kUint64, *positive);
  } else if (const auto* boolean = std::get_if<bool>(&tree.value)) {
    write_cell(out, store::ColumnType::kBool, *boolean ? 1 : 0);
  } else if (const std::string* text = tree.text()) {
    write_value(out, kNone, Type::kText, 0, *text);
  } else {
    write_value(out, kNone, Type::kJson, 0, store::to_json(tree));
  }
}

std::string text_of(capnp::Text::Reader text) { return {text.begin(), text.size()}; }

// Columns kind, name, level, text of an event; false: the record is none.
bool write_event(RowBinary& out, schema::Record::Reader record) {
  const auto write = [&](int8_t kind, const std::string& name, std::string_view level,
                         const std::string& text) {
    out.number(kind);
    out.text(name);
    out.text(level);
    out.text(text);
  };
  if (record.isAlert()) {
    constexpr std::array<std::string_view, 3> kLevels = {"info", "warn", "error"};
    const auto level = static_cast<size_t>(record.getAlert().getLevel());
    write(0, text_of(record.getAlert().getTitle()), level < kLevels.size() ? kLevels[level] : "",
          text_of(record.getAlert().getText()));
  } else if (record.isFile()) {
    write(1, text_of(record.getFile().getName()), "", text_of(record.getFile().getSource()));
  } else if (record.isFinish()) {
    write(2, "", "", std::to_string(record.getFinish().getExitCode()));
  } else if (record.isMetric()) {
    write(3, text_of(record.getMetric().getName()), "",
          text_of(record.getMetric().getStepMetric()));
  } else {
    return false;
  }
  return true;
}

}  // namespace

Sink::Limits ClickHouseSink::limits() const {
  return {.rows = kEngineBatchRows,
          .bytes = kEngineBatchBytes,
          .interval_ms = kEngineIntervalMs,
          .is_rows_only = false};
}

Status ClickHouseSink::open(const store::RunMeta& run, const std::string& cursor) {
  updated_ns_ = std::strtoull(cursor.c_str(), nullptr, 10);
  RowBinary head;
  head.text(run.project);
  head.text(run.run_id);
  head_ = head.take();
  source_ = stable_hash(run.host + "\n" + run.project + "\n" + run.run_id + "\n" +
                        std::to_string(run.created_ns));
  cells_.clear();
  return Done{};
}

const std::vector<ClickHouseSink::Cell>& ClickHouseSink::cells_of(const store::RowView& row) {
  const auto known = cells_.find(row.keys().id);
  if (known != cells_.end()) return known->second;
  if (cells_.size() >= kSinkKeySetsMax) cells_.clear();
  // Of two columns with one path the last is the value; of two paths that look the same to people
  // the later keeps its separators, or one point would replace the other.
  std::map<std::string, size_t> last;
  for (size_t i = 0; i < row.size(); ++i) last[row.column(i).path] = i;
  std::map<std::string, std::string> path_of_name;
  std::vector<Cell> cells;
  for (size_t i = 0; i < row.size(); ++i) {
    const std::string& path = row.column(i).path;
    if (last[path] != i) continue;
    const std::string name = record::display_path(path);
    const bool is_taken = !path_of_name.try_emplace(name, path).second;
    RowBinary head;
    head.raw(head_);
    head.text(is_taken ? path : name);
    cells.push_back({i, row.column(i).type, head.take()});
  }
  return cells_.emplace(row.keys().id, std::move(cells)).first->second;
}

size_t ClickHouseSink::add(const store::RowView& row) {
  RowBinary& out = rows(Table::kPoints);
  for (const Cell& cell : cells_of(row)) {
    out.raw(cell.head);
    out.number(row.producer().rank);
    out.number(row.producer().attempt);
    out.number(row.public_seq());
    out.number(row.step());
    out.number(row.time_ns());
    if (cell.type != store::ColumnType::kOther) {
      write_cell(out, cell.type, row.bits(cell.index));
    } else if (const auto value = row.value(cell.index)) {
      write_tree(out, *value);
    } else {
      // The store's bytes are no value: sent as what they are, so that nothing is missing unsaid.
      write_value(out, 0, Type::kText, 0, row.bytes(cell.index));
    }
    out.number(source_);
  }
  return bytes();
}

size_t ClickHouseSink::add(const store::RecordView& view, const store::ProducerState& producer) {
  RowBinary end;
  const Table table = view.record.isConsole() ? Table::kConsole : Table::kEvents;
  if (view.record.isConsole()) {
    const auto console = view.record.getConsole();
    const auto data = console.getData().asChars();
    end.number(static_cast<int8_t>(console.getStream() == schema::Console::Stream::STDERR ? 1 : 0));
    end.text({data.begin(), data.size()});
  } else if (!write_event(end, view.record)) {
    return bytes();
  }
  begin(table);
  RowBinary& out = rows(table);
  out.number(producer.rank);
  out.number(producer.attempt);
  out.number(view.lsn);
  out.number(view.record.getTimeNs());
  out.raw(end.view());
  out.number(source_);
  return bytes();
}

// One row a leaf: objects are joined as the names of metrics are.
void ClickHouseSink::add_values(const store::Tree& tree, Table table, uint64_t updated_ns) {
  std::vector<std::pair<std::string, const store::Tree*>> left = {{"", &tree}};
  while (!left.empty()) {
    const auto [path, at] = std::move(left.back());
    left.pop_back();
    if (const store::Tree::Object* object = at->object();
        object && !(object->empty() && at != &tree)) {
      for (const auto& [key, item] : *object) {
        std::string inner = path;
        record::append_key(inner, key);
        left.emplace_back(std::move(inner), &item);
      }
      continue;
    }
    begin(table);
    RowBinary& out = rows(table);
    out.text(record::display_path(path));
    write_tree(out, *at);
    out.number(updated_ns);
    out.number(source_);
  }
}

Status ClickHouseSink::add_facts(store::RunReader& run) {
  auto meta = run.meta();
  if (!meta) return meta.take_error();
  auto producers = run.producers();
  if (!producers) return producers.take_error();
  auto config = run.config();
  if (!config) return config.take_error();
  auto summary = run.summary();
  if (!summary) return summary.take_error();
  // ClickHouse keeps the highest version, so newer facts must have one also behind a clock that was
  // set back.
  updated_ns_ = std::max(updated_ns_ + 1, static_cast<uint64_t>(shm::realtime_ns()));
  const uint64_t now_ns = updated_ns_;
  begin(Table::kRuns);
  RowBinary& out = rows(Table::kRuns);
  for (const std::string* text : {&meta->host, &meta->name, &meta->group}) out.text(*text);
  out.texts(meta->tags);
  out.text(meta->notes);
  out.texts(meta->command);
  out.text(meta->version);
  out.text(meta->state);
  out.number(meta->created_ns);
  out.number(meta->ended_ns);
  out.number(now_ns);
  out.number(source_);
  for (const store::ProducerState& of : *producers) {
    begin(Table::kRanks);
    RowBinary& rank = rows(Table::kRanks);
    uint64_t stored = 0;
    uint64_t dropped = 0;
    for (const store::RingState& ring : of.rings) {
      stored += ring.stored;
      dropped += ring.dropped;
    }
    rank.number(of.rank);
    rank.number(of.attempt);
    rank.number(of.worker);
    rank.number(of.producer);
    rank.text(of.host);
    rank.number(of.pid);
    rank.text(of.state);
    rank.number(of.exit_code);
    rank.number(of.signal);
    rank.text(of.cause);
    rank.number(of.started_ns);
    rank.number(of.ended_ns);
    rank.number(stored);
    rank.number(dropped);
    rank.number(now_ns);
    rank.number(source_);
  }
  add_values(*config, Table::kConfig, now_ns);
  add_values(*summary, Table::kSummary, now_ns);
  return Done{};
}

void ClickHouseSink::clear() {
  HttpSink::clear();
  for (RowBinary& table : rows_) table.take();
}

size_t ClickHouseSink::bytes() const {
  size_t sum = 0;
  for (const RowBinary& table : rows_) sum += table.bytes();
  return sum;
}

HttpSink::Call ClickHouseSink::call_of(const std::string& query, std::string body) const {
  const std::string& database = server().url.path;
  return {"/?" + (database.empty() ? "" : "database=" + url_encode(database) + "&") +
              "query=" + url_encode(query),
          std::move(body)};
}

std::optional<HttpSink::Call> ClickHouseSink::next() {
  if (tables_made_ < kClickHouseTables) {
    return call_of(create_query(static_cast<Table>(tables_made_)), "");
  }
  for (size_t i = 0; i < kClickHouseTables; ++i) {
    if (!rows_[i].empty()) return call_of(insert_query(static_cast<Table>(i)), rows_[i].take());
  }
  return {};
}

SendResult ClickHouseSink::judge(const HttpAnswer& answer) {
  const bool is_making = tables_made_ < kClickHouseTables;
  if (answer.outcome != HttpAnswer::Outcome::kAnswered || answer.status == 200) {
    SendResult result = judge_status(answer);
    if (is_making && result.kind == SendResult::Kind::kAcknowledged) ++tables_made_;
    return result;
  }
  switch (clickhouse_advice(answer.body)) {
    case ClickHouseAdvice::kNoTable:
      tables_made_ = 0;
      return {.kind = SendResult::Kind::kRetry, .message = text_of(answer)};
    case ClickHouseAdvice::kPassword:
      return refused_password(answer);
    case ClickHouseAdvice::kNotAllowed:
      // Somebody else may have made the tables; if not, the insert says so.
      if (is_making) return ++tables_made_, SendResult{};
      return {.kind = SendResult::Kind::kRefused,
              .message = text_of(answer) + "; let this user INSERT"};
    case ClickHouseAdvice::kNoDatabase:
      return {.kind = SendResult::Kind::kRetry,
              .message = text_of(answer) + "; make it with CREATE DATABASE"};
    case ClickHouseAdvice::kBusy:
      return {.kind = SendResult::Kind::kRetry,
              .retry_after_ms = answer.retry_after_ms,
              .message = text_of(answer)};
    case ClickHouseAdvice::kBadRows:
      return {.kind = SendResult::Kind::kSplit, .message = text_of(answer)};
    case ClickHouseAdvice::kNone:
      return judge_status(answer);
  }
  return judge_status(answer);
}

Result<std::unique_ptr<Sink>> make_clickhouse_sink(const std::string& url, const SinkParts* parts) {
  constexpr Secrets kSecrets = {"CLICKHOUSE_USER", "CLICKHOUSE_PASSWORD",
                                "CLICKHOUSE_PASSWORD or ~/.netrc"};
  auto read = parse_sink_url(url, kHttpSinkOptions, kSecrets.places);
  if (!read) return read.take_error();
  auto server = server_of(*read, kSecrets);
  if (!server) return server.take_error();
  if (parts == nullptr) return std::unique_ptr<Sink>();
  if (server->user.empty() && !server->password.empty()) server->user = "default";
  return std::unique_ptr<Sink>(std::make_unique<ClickHouseSink>(*std::move(server), *parts));
}

}  // namespace ringlog::service
