// Reads a JSONL export on standard input and proves each row right: every value bit for bit what
// rank.cc logged, each thread's rows in order, none twice, none torn.  Writes what it found as one
// JSON object; exit 1 when something is wrong.
//
//   --ledger FILE   the ledger of the processes that logged
//   --kinds K       numbers | mixed, as the ranks were told
//   --gaps 1        rows may be missing (they were dropped, counted); they are reported

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "ledger.h"
#include "options.h"
#include "rows.h"

namespace {

using e2e::Kind;
using e2e::RowId;

// The leaves of one row: path ("o.n", "list.0") and the value's text; strings without their quotes.
struct Leaf {
  std::string path;
  std::string_view text;
  bool is_string = false;
};

// Enough JSON for what rank.cc logs: no escapes inside strings.
class LineParser {
 public:
  explicit LineParser(std::string_view line) : rest_(line) {}

  std::vector<Leaf> parse() {
    leaves_.clear();
    value("");
    if (!rest_.empty()) throw std::runtime_error("more text after the row");
    return std::move(leaves_);
  }

 private:
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) throw std::runtime_error(std::string("expected ") + c);
  }
  std::string_view quoted() {
    expect('"');
    const size_t end = rest_.find('"');
    if (end == std::string_view::npos) throw std::runtime_error("a string without end");
    const std::string_view text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return text;
  }
  void value(const std::string& path) {
    if (take('{')) return object(path);
    if (take('[')) return list(path);
    if (!rest_.empty() && rest_.front() == '"') {
      leaves_.push_back({path, quoted(), true});
      return;
    }
    const size_t end = std::min(rest_.find_first_of(",]}"), rest_.size());
    leaves_.push_back({path, rest_.substr(0, end), false});
    rest_.remove_prefix(end);
  }
  void object(const std::string& path) {
    if (take('}')) return;
    do {
      const std::string key(quoted());
      expect(':');
      value(path.empty() ? key : path + "." + key);
    } while (take(','));
    expect('}');
  }
  void list(const std::string& path) {
    if (take(']')) return;
    int index = 0;
    do {
      value(path + "." + std::to_string(index++));
    } while (take(','));
    expect(']');
  }

  std::string_view rest_;
  std::vector<Leaf> leaves_;
};

template <typename T>
T parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw std::runtime_error("not the number it should be: " + std::string(text));
  }
  return value;
}

double parse_double(std::string_view text) {
  if (text == "NaN") return std::nan("");
  if (text == "Infinity") return HUGE_VAL;
  if (text == "-Infinity") return -HUGE_VAL;
  if (text.find_first_of(".e") == std::string_view::npos) {
    throw std::runtime_error("a float64 that looks like an integer: " + std::string(text));
  }
  return parse_number<double>(text);
}

class Row {
 public:
  explicit Row(std::vector<Leaf> leaves) : leaves_(std::move(leaves)) {}

  const Leaf& at(std::string_view path) const {
    for (const Leaf& leaf : leaves_) {
      if (leaf.path == path) return leaf;
    }
    throw std::runtime_error("no " + std::string(path));
  }
  bool has(std::string_view path) const {
    for (const Leaf& leaf : leaves_) {
      if (leaf.path == path) return true;
    }
    return false;
  }
  uint64_t count(std::string_view path) const { return parse_number<uint64_t>(at(path).text); }
  // A count that may have been logged as float64.
  uint64_t any_count(std::string_view path) const {
    const std::string_view text = at(path).text;
    if (text.find('.') == std::string_view::npos && text.find('e') == std::string_view::npos) {
      return parse_number<uint64_t>(text);
    }
    return static_cast<uint64_t>(parse_number<double>(text));
  }

  void expect_float(std::string_view path, double expected) const {
    const double found = parse_double(at(path).text);
    const bool is_same = std::isnan(expected)
                             ? std::isnan(found)
                             : std::bit_cast<uint64_t>(expected) == std::bit_cast<uint64_t>(found);
    if (!is_same) wrong(path);
  }
  template <typename T>
  void expect_integer(std::string_view path, T expected) const {
    if (parse_number<T>(at(path).text) != expected) wrong(path);
  }
  void expect_text(std::string_view path, std::string_view expected, bool is_string) const {
    const Leaf& leaf = at(path);
    if (leaf.text != expected || leaf.is_string != is_string) wrong(path);
  }
  void expect_size(size_t metrics) const {
    const size_t fixed = has("_worker") ? 6 : 5;
    if (leaves_.size() != fixed + metrics) {
      throw std::runtime_error(std::to_string(leaves_.size()) + " values in the row");
    }
  }

 private:
  [[noreturn]] void wrong(std::string_view path) const {
    throw std::runtime_error(std::string(path) + " is " + std::string(at(path).text.substr(0, 80)));
  }
  std::vector<Leaf> leaves_;
};

void check_values(const Row& row, const RowId& id, Kind kind) {
  const double x = e2e::float_of(id, e2e::kFloat);
  const double y = e2e::float_of(id, e2e::kListA);
  const auto integer = static_cast<int64_t>(e2e::word_of(id, e2e::kInteger));
  switch (kind) {
    case Kind::kNumbers:
      row.expect_size(7);
      row.expect_float("f", x);
      row.expect_integer("n", integer);
      row.expect_text("b", (e2e::word_of(id, e2e::kBoolean) & 1) != 0 ? "true" : "false", false);
      row.expect_integer("u", e2e::word_of(id, e2e::kUnsigned) | uint64_t{1} << 63);
      return;
    case Kind::kRowHandle:
      row.expect_size(5);
      row.expect_float("p", static_cast<double>(id.process));
      row.expect_float("x", x);
      row.expect_float("y", y);
      return;
    case Kind::kFree:
    case Kind::kLarge:
      row.expect_size(8);
      row.expect_text("text", e2e::text_of(id, kind), true);
      row.expect_float("list.0", y);
      row.expect_float("list.1", e2e::float_of(id, e2e::kListB));
      row.expect_integer("o.n", integer);
      row.expect_float("o.f", x);
  }
}

class Checker {
 public:
  Checker(const e2e::Ledger& ledger, bool is_mixed, bool may_have_gaps)
      : ledger_(ledger), is_mixed_(is_mixed), may_have_gaps_(may_have_gaps) {}

  void check_line(std::string_view line) {
    ++rows_;
    try {
      check_row(Row(LineParser(line).parse()));
    } catch (const std::exception& e) {
      if (++errors_ <= 10) {
        std::fprintf(stderr, "row %zu: %s: %.400s\n", rows_, e.what(), std::string(line).c_str());
      }
    }
  }

  void print() const {
    std::printf("{\"rows\":%zu,\"errors\":%zu,\"gaps\":%zu,\"threads\":[", rows_, errors_, gaps_);
    const char* separator = "";
    for (const auto& [key, thread] : threads_) {
      std::printf("%s{\"process\":%zu,\"thread\":%zu,\"rows\":%zu,\"end\":%zu}", separator,
                  size_t{key.first}, size_t{key.second}, size_t{thread.rows}, size_t{thread.end});
      separator = ",";
    }
    std::printf("]}\n");
  }
  bool is_ok() const { return errors_ == 0; }

 private:
  struct Thread {
    uint64_t rows = 0;
    uint64_t end = 0;  // index after the last row
  };

  void check_row(const Row& row) {
    const RowId id{row.any_count("p"), row.any_count("t"), row.any_count("i")};
    check_order(id);
    check_producer(row, id);
    if (row.count("_step") != id.index) throw std::runtime_error("a wrong _step");
    check_values(row, id, e2e::kind_of(id, is_mixed_));
  }

  void check_order(const RowId& id) {
    Thread& thread = threads_[{id.process, id.thread}];
    const uint64_t expected = thread.end;
    ++thread.rows;
    thread.end = std::max(thread.end, id.index + 1);
    if (id.index == expected) return;
    if (id.index < expected) throw std::runtime_error("double or out of order");
    gaps_ += id.index - expected;
    if (!may_have_gaps_) {
      throw std::runtime_error("rows are missing from " + std::to_string(expected) + " on");
    }
  }

  void check_producer(const Row& row, const RowId& id) {
    const auto rank = row.count("_rank");
    const auto attempt = row.count("_attempt");
    const uint64_t worker = row.has("_worker") ? row.count("_worker") : 0;
    const e2e::LedgerProcess& entry = ledger_.processes.at(id.process);
    const uint64_t flags = entry.flags.load();
    if ((flags & e2e::kHasRun) != 0 && (static_cast<int64_t>(rank) != entry.rank.load() ||
                                        static_cast<int64_t>(attempt) != entry.attempt.load())) {
      throw std::runtime_error("another process's rank or attempt");
    }
    // One process, one (rank, attempt, worker), and the other way round.
    const auto [place, is_new] = owners_.try_emplace({rank, attempt, worker}, id.process);
    if (!is_new && place->second != id.process) throw std::runtime_error("two processes mixed");
    const uint64_t seq = row.count("_seq");
    const auto [last, is_first] = last_seq_.try_emplace({rank, attempt, seq >> 40}, seq);
    if (!is_first && seq <= last->second) throw std::runtime_error("_seq does not rise");
    last->second = seq;
  }

  const e2e::Ledger& ledger_;
  const bool is_mixed_;
  const bool may_have_gaps_;
  size_t rows_ = 0;
  size_t errors_ = 0;
  size_t gaps_ = 0;
  std::map<std::pair<uint64_t, uint64_t>, Thread> threads_;
  std::map<std::tuple<uint64_t, uint64_t, uint64_t>, uint64_t> owners_;
  std::map<std::tuple<uint64_t, uint64_t, uint64_t>, uint64_t> last_seq_;  // by lane
};

void check_stream(Checker& checker) {
  constexpr size_t kPart = size_t{1} << 20;
  std::string text;
  for (size_t begin = 0;;) {
    const size_t size = text.size();
    text.resize(size + kPart);
    const size_t n = std::fread(text.data() + size, 1, kPart, stdin);
    text.resize(size + n);
    if (n == 0) break;
    for (size_t end = text.find('\n', size); end != std::string::npos;
         end = text.find('\n', begin)) {
      checker.check_line(std::string_view(text).substr(begin, end - begin));
      begin = end + 1;
    }
    text.erase(0, begin);
    begin = 0;
  }
  if (!text.empty()) checker.check_line(text);
}

}  // namespace

int main(int argc, char** argv) {
  const e2e::Options options(argc, argv);
  const e2e::Ledger& ledger = *e2e::Ledger::map(options.text("ledger"));
  Checker checker(ledger, options.text("kinds", "numbers") == "mixed",
                  options.number("gaps", 0) != 0);
  check_stream(checker);
  checker.print();
  return checker.is_ok() ? 0 : 1;
}
