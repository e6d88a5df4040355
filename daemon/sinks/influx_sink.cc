#include "daemon/sinks/influx_sink.h"

#include "daemon/limits.h"
#include "record/path.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <set>
#include <utility>

namespace ringlog::service {

namespace {

// Integers up to here are exact as doubles.
constexpr uint64_t kExactMax = uint64_t{1} << 53;
// Servers take no longer text in a field.
constexpr size_t kTextSizeMax = 64'000;

// A tag's value or a field's name: no comma, equals sign, space or line end ends it early.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ',' || c == '=' || c == ' ') out += '\\';
    out += c == '\n' || c == '\r' || c == '\t' ? '_' : c;
  }
  // A backslash at the end would escape what follows.
  if (out.ends_with('\\')) out += '_';
  return out;
}

template <typename Number>
void append_number(std::string& out, Number value) {
  std::array<char, 32> text;
  out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
}

void append_text(std::string& out, const std::string& name, std::string_view text) {
  out += ',' + name + "=\"";
  for (const char c : text.substr(0, kTextSizeMax)) {
    if (c == '\n') {
      // VictoriaMetrics ends a line here, quoted or not: the row's numbers would be lost, and the
      // rest of the text be read as rows.
      out += "\\\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

// All numbers are floats: a field has one type for ever, and a loss of 0 would make it an integer.
void append_float(std::string& out, const std::string& name, double value) {
  if (!std::isfinite(value)) {
    append_text(out, name + "_nonfinite", std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
    return;
  }
  out += ',' + name + '=';
  append_number(out, value);
}

void append_field(std::string& out, const std::string& name, store::ColumnType type,
                  uint64_t bits) {
  const auto integer = static_cast<int64_t>(bits);
  switch (type) {
    case store::ColumnType::kFloat64:
      return append_float(out, name, std::bit_cast<double>(bits));
    case store::ColumnType::kInt64:
      append_float(out, name, static_cast<double>(integer));
      if (integer > static_cast<int64_t>(kExactMax) || integer < -static_cast<int64_t>(kExactMax)) {
        out += ',' + name + "_int=";
        append_number(out, integer);
        out += 'i';
      }
      return;
    case store::ColumnType::kUint64:
      append_float(out, name, static_cast<double>(bits));
      if (bits > kExactMax) append_text(out, name + "_uint", std::to_string(bits));
      return;
    case store::ColumnType::kBool:
      return append_float(out, name, bits != 0 ? 1 : 0);
    case store::ColumnType::kOther:
      return;
  }
}

void append_tree(std::string& out, const std::string& name, const store::Tree& tree) {
  if (const auto* number = std::get_if<double>(&tree.value)) {
    append_float(out, name, *number);
  } else if (const auto* integer = std::get_if<int64_t>(&tree.value)) {
    append_field(out, name, store::ColumnType::kInt64, static_cast<uint64_t>(*integer));
  } else if (const auto* positive = std::get_if<uint64_t>(&tree.value)) {
    append_field(out, name, store::ColumnType::kUint64, *positive);
  } else if (const auto* truth = std::get_if<bool>(&tree.value)) {
    append_float(out, name, *truth ? 1 : 0);
  } else {
    const std::string* text = tree.text();
    append_text(out, name + "_text", text != nullptr ? *text : store::to_json(tree));
  }
}

}  // namespace

Sink::Limits InfluxSink::limits() const {
  return {.rows = kLineBatchRows, .bytes = kEngineBatchBytes, .interval_ms = kEngineIntervalMs};
}

Status InfluxSink::open(const store::RunMeta& run, const std::string& cursor) {
  auto times = InfluxTimes::from_text(cursor);
  if (!times) return times.take_error();
  times_ = next_times_ = *std::move(times);
  head_ = "ringlog,project=" + escaped(run.project) + ",run=" + escaped(run.run_id) + ",rank=";
  cells_.clear();
  return Done{};
}

const std::vector<InfluxSink::Cell>& InfluxSink::cells_of(const store::RowView& row) {
  const auto known = cells_.find(row.keys().id);
  if (known != cells_.end()) return known->second;
  if (cells_.size() >= kSinkKeySetsMax) cells_.clear();
  std::vector<Cell> cells;
  // Names that the server and the row's own fields have; of others only one may be in a line.
  std::set<std::string> taken = {"", "time", "_seq", "_step"};
  for (size_t i = 0; i < row.size(); ++i) {
    const bool is_other = row.column(i).type == store::ColumnType::kOther;
    const std::string ending = is_other ? "_text" : "";
    std::string name = escaped(record::display_path(row.column(i).path));
    while (taken.contains(name) || taken.contains(name + ending)) name += '_';
    taken.insert(name);
    taken.insert(name + ending);
    cells.push_back({i, row.column(i).type, std::move(name)});
  }
  return cells_.emplace(row.keys().id, std::move(cells)).first->second;
}

size_t InfluxSink::add(const store::RowView& row) {
  const store::ProducerState& producer = row.producer();
  lines_ += head_;
  append_number(lines_, producer.rank);
  lines_ += ",attempt=";
  append_number(lines_, producer.attempt);
  // Rows of another thread or of a forked worker may have the same time.
  if (const uint64_t lane = row.public_seq() >> 40; lane != 0) {
    lines_ += ",lane=";
    append_number(lines_, lane);
  }
  const InfluxTime time = next_times_.take({producer.producer, row.ring()},
                                           {.time_ns = row.time_ns(), .seq = row.seq()});
  if (time.block) {
    lines_ += ",block=";
    append_number(lines_, *time.block);
  }
  lines_ += " _seq=";
  append_number(lines_, row.public_seq());
  lines_ += "i,_step=";
  append_number(lines_, static_cast<int64_t>(row.step()));
  lines_ += 'i';
  bool is_whole = true;
  for (const Cell& cell : cells_of(row)) {
    if (cell.type != store::ColumnType::kOther) {
      append_field(lines_, cell.name, cell.type, row.bits(cell.index));
    } else if (const auto value = row.value(cell.index)) {
      append_tree(lines_, cell.name, *value);
    } else {
      is_whole = false;  // the store's bytes are no value
    }
  }
  left_out_ += is_whole ? 0 : 1;
  lines_ += ' ';
  append_number(lines_, time.ns);
  lines_ += '\n';
  return lines_.size();
}

void InfluxSink::clear() {
  HttpSink::clear();
  std::string().swap(lines_);
  next_times_ = times_;
  left_out_ = 0;
  is_sent_ = false;
}

std::optional<HttpSink::Call> InfluxSink::next() {
  if (std::exchange(is_sent_, true)) {
    times_ = next_times_;
    return {};
  }
  const SinkUrl& url = server().url;
  std::string target;
  if (const auto bucket = url.options.find("bucket"); bucket != url.options.end()) {
    const auto org = url.options.find("org");
    target = "/api/v2/write?bucket=" + url_encode(bucket->second) +
             (org == url.options.end() ? "" : "&org=" + url_encode(org->second));
  } else {
    const auto policy = url.options.find("rp");
    target = "/write?db=" + url_encode(url.path) +
             (policy == url.options.end() ? "" : "&rp=" + url_encode(policy->second));
  }
  return Call{target + "&precision=ns", std::exchange(lines_, {})};
}

SendResult InfluxSink::judge(const HttpAnswer& answer) {
  SendResult result = judge_status(answer);
  if (answer.status == 404) {
    const auto bucket = server().url.options.find("bucket");
    result.message = text_of(answer) + "; make the " +
                     (bucket == server().url.options.end() ? "database " + server().url.path
                                                           : "bucket " + bucket->second);
  }
  return result;
}

Result<std::unique_ptr<Sink>> make_influx_sink(const std::string& url, const SinkParts* parts) {
  constexpr Secrets kSecrets = {"INFLUX_USERNAME", "INFLUX_PASSWORD",
                                "INFLUX_PASSWORD, INFLUX_TOKEN or ~/.netrc"};
  auto read = parse_sink_url(url, "bucket org rp compress timeout_s", kSecrets.places);
  if (!read) return read.take_error();
  if (read->path.empty() && !read->options.contains("bucket")) {
    return Error{Code::kInvalidArgument,
                 "sink " + url + " names no database; it is …host:port/DATABASE or …/?bucket=NAME"};
  }
  auto server = server_of(*read, kSecrets);
  if (!server) return server.take_error();
  if (parts == nullptr) return std::unique_ptr<Sink>();
  server->headers = {"Content-Type: text/plain; charset=utf-8"};
  if (const char* token = std::getenv("INFLUX_TOKEN")) {
    server->token = token;
    server->headers.push_back("Authorization: Token " + server->token);
  }
  return std::unique_ptr<Sink>(std::make_unique<InfluxSink>(*std::move(server), *parts));
}

}  // namespace ringlog::service
