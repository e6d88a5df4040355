// Rows as JSON: every number reads back bit-exactly and every text parses.

#include "store/row_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "record/path.h"
#include "result_matchers.h"
#include "seed.h"
#include "store/reader.h"
#include "store/store.h"
#include "temp_dir.h"

namespace ringlog::store {
namespace {

using test::IsOk;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename T>
std::string json(T value) {
  std::string out;
  append_json(out, value);
  return out;
}

std::string seconds(int64_t time_ns) {
  std::string out;
  append_json_seconds(out, time_ns);
  return out;
}

double parse_double(const std::string& text) {
  double value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  EXPECT_EQ(end.ptr, text.data() + text.size()) << text;
  return value;
}

TEST(RowJson, ShowsTheTypeOfEveryNumber) {
  EXPECT_EQ(json(5.0), "5.0");
  EXPECT_EQ(json(-0.0), "-0.0");
  EXPECT_EQ(json(0.1), "0.1");
  EXPECT_EQ(json(1e300), "1e+300");
  EXPECT_EQ(json(9007199254740993.0), "9007199254740992.0");
  EXPECT_EQ(json(int64_t{9007199254740993}), "9007199254740993");
  EXPECT_EQ(json(std::numeric_limits<int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(json(std::numeric_limits<uint64_t>::max()), "18446744073709551615");
  EXPECT_EQ(json(std::nan("")), "NaN");
  EXPECT_EQ(json(-std::nan("")), "NaN");
  EXPECT_EQ(json(HUGE_VAL), "Infinity");
  EXPECT_EQ(json(-HUGE_VAL), "-Infinity");
}

TEST(RowJson, KeepsEveryBitOfDoubles) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  for (int i = 0; i < 200'000; ++i) {
    // All bit patterns, and those near round numbers, where shortest forms are hardest.
    const uint64_t bits = random.one_in(4)
                              ? std::bit_cast<uint64_t>(
                                    std::pow(10.0, static_cast<double>(random.below(600)) - 300)) +
                                    random.below(3) - 1
                              : random.bits();
    const auto value = std::bit_cast<double>(bits);
    if (!std::isfinite(value)) continue;
    const std::string text = json(value);
    ASSERT_EQ(std::bit_cast<uint64_t>(parse_double(text)), bits) << text;
    ASSERT_NE(text.find_first_of(".e"), std::string::npos) << text << " looks like an integer";
    ASSERT_TRUE(nlohmann::json::accept(text)) << text;
  }
}

TEST(RowJson, WritesAllNanosecondsOfATime) {
  EXPECT_EQ(seconds(0), "0.0");
  EXPECT_EQ(seconds(1'724'325'791'250'000'000), "1724325791.25");
  EXPECT_EQ(seconds(1'724'325'791'123'456'789), "1724325791.123456789");
  EXPECT_EQ(seconds(-1), "-0.000000001");
  EXPECT_EQ(seconds(std::numeric_limits<int64_t>::min()), "-9223372036.854775808");
}

TEST(RowJson, EscapesText) {
  EXPECT_EQ(json(std::string_view("a\"b\\c\n\t\r\x01")), R"("a\"b\\c\n\t\r\u0001")");
  EXPECT_EQ(json(std::string_view("Größe 損失 \U0001f6a2")), "\"Größe 損失 \U0001f6a2\"");
  EXPECT_EQ(json(std::string_view("\xff\xc3(\xe2\x82")), "\"\ufffd\ufffd(\ufffd\ufffd\"")
      << "one U+FFFD for each byte that is not UTF-8";
  EXPECT_EQ(json(std::string_view("\x7f/")), "\"\x7f/\"");
}

TEST(RowJson, EscapesAnyBytesSoThatTheyParse) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(random.below(12), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random.bits());
    const std::string text = json(std::string_view(bytes));
    ASSERT_TRUE(nlohmann::json::accept(text)) << text;
    if (record::is_utf8(bytes)) {
      ASSERT_EQ(nlohmann::json::parse(text).get<std::string>(), bytes) << text;
    }
  }
}

// One run with one process, written and read back through the store.
class RowJsonRun : public ::testing::Test {
 protected:
  void SetUp() override {
    auto store = Store::open(dir());
    ASSERT_THAT(store, IsOk());
    store_ = *std::move(store);
    ProducerState producer;
    producer.producer = 1;
    producer.rank = 3;
    producer.attempt = 1;
    producer.pid = 42;
    producer.state = "running";
    commit_.producers.push_back(producer);
  }

  std::string dir() const { return temp_.file("demo/run"); }
  static Column column(std::vector<std::string_view> keys, ColumnType type = ColumnType::kFloat64) {
    return {record::join_path(keys), type};
  }
  // A row of its own key set.
  void add(std::vector<Column> columns, std::vector<uint64_t> cells) {
    const auto id = static_cast<uint32_t>(commit_.key_sets.size() + 1);
    commit_.key_sets.push_back({id, std::move(columns)});
    RowBlock block({1, 0}, commit_.key_sets.back());
    block.add_row(next_seq_, 10 + next_seq_, 1'500'000'000, cells);
    ++next_seq_;
    commit_.blocks.push_back(std::move(block));
  }
  // What the rows look like.
  std::vector<std::string> lines() {
    EXPECT_THAT(store_->write(commit_, false), IsOk());
    std::vector<std::string> lines;
    auto reader = RunReader::open(dir());
    EXPECT_THAT(reader, IsOk());
    if (!reader) return lines;
    RowJson row_json;
    const auto visited = (*reader)->for_each_row({}, [&](const RowView& row) {
      lines.emplace_back();
      EXPECT_THAT(row_json.append(row, lines.back()), IsOk());
      return true;
    });
    EXPECT_THAT(visited, IsOk());
    return lines;
  }

  test::TempDir temp_;
  std::unique_ptr<Store> store_;
  Commit commit_;
  uint64_t next_seq_ = 0;
};

uint64_t bits(double value) { return std::bit_cast<uint64_t>(value); }

TEST_F(RowJsonRun, BeginsWithTheRowsOwnFields) {
  add({column({"loss"})}, {bits(0.5)});
  EXPECT_THAT(lines(), ElementsAre("{\"_rank\":3,\"_attempt\":1,\"_seq\":0,\"_step\":10,"
                                   "\"_timestamp\":1.5,\"loss\":0.5}"));
}

TEST_F(RowJsonRun, KeepsARowWithoutKeys) {
  add({}, {});
  EXPECT_THAT(lines(), ElementsAre(HasSubstr("\"_timestamp\":1.5}")));
}

TEST_F(RowJsonRun, BuildsNestedObjectsAgain) {
  add({column({"a", "x"}), column({"b"}), column({"a", "y", "z"}), column({"a", "y", "w"}),
       column({"a.x"})},
      {bits(1), bits(2), bits(3), bits(4), bits(5)});
  EXPECT_THAT(lines(),
              ElementsAre(HasSubstr(R"("a":{"x":1.0,"y":{"z":3.0,"w":4.0}},"b":2.0,"a.x":5.0})")));
}

TEST_F(RowJsonRun, KeepsTheLastOfEqualKeys) {
  add({column({"a"}), column({"b"}), column({"a"})}, {bits(1), bits(2), bits(3)});
  add({column({"a"}), column({"a", "x"})}, {bits(1), bits(2)});
  add({column({"a", "x"}), column({"a"})}, {bits(1), bits(2)});
  EXPECT_THAT(lines(),
              ElementsAre(HasSubstr(R"(1.5,"a":3.0,"b":2.0})"), HasSubstr(R"(1.5,"a":{"x":2.0}})"),
                          HasSubstr(R"(1.5,"a":2.0})")));
}

TEST_F(RowJsonRun, LeavesTheRowsOwnFieldsAlone) {
  add({column({"_step"}), column({"n", "_rank"})}, {bits(7), bits(8)});
  EXPECT_THAT(lines(), ElementsAre(HasSubstr(R"("__step":7.0,"n":{"_rank":8.0}})")));
}

TEST_F(RowJsonRun, WritesEachTypeOfNumber) {
  add({column({"i"}, ColumnType::kInt64), column({"u"}, ColumnType::kUint64),
       column({"t"}, ColumnType::kBool), column({"f"}, ColumnType::kBool)},
      {static_cast<uint64_t>(-5), ~uint64_t{0}, 1, 0});
  EXPECT_THAT(lines(),
              ElementsAre(HasSubstr(R"("i":-5,"u":18446744073709551615,"t":true,"f":false})")));
}

// Rows of random keys, at random depths, with random bits: all come back, and in their place.
TEST_F(RowJsonRun, KeepsEveryBitOfRandomRows) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  struct Expected {
    std::vector<std::string> keys;
    uint64_t cell;
  };
  std::vector<std::vector<Expected>> expected;
  for (int row = 0; row < 60; ++row) {
    std::vector<Column> columns;
    std::vector<uint64_t> cells;
    expected.emplace_back();
    for (uint64_t i = 0; i < random.between(1, 8); ++i) {
      std::vector<std::string> keys;
      for (uint64_t depth = 0; depth < random.between(1, 4); ++depth) {
        keys.push_back(random.pick<const char*>({"a", "b.c", "d\n", "\"", "損", "\x1f", "_rank"}));
      }
      keys.push_back("leaf" + std::to_string(i));  // so that no key is used twice
      std::vector<std::string_view> views(keys.begin(), keys.end());
      columns.push_back(column(views));
      cells.push_back(random.bits());
      if (!std::isfinite(std::bit_cast<double>(cells.back()))) cells.back() = bits(1);
      expected.back().push_back({keys, cells.back()});
    }
    add(std::move(columns), std::move(cells));
  }
  const std::vector<std::string> got = lines();
  ASSERT_EQ(got.size(), expected.size());
  for (size_t row = 0; row < got.size(); ++row) {
    const nlohmann::json object = nlohmann::json::parse(got[row], nullptr, false);
    ASSERT_FALSE(object.is_discarded()) << got[row];
    EXPECT_EQ(object.at("_seq"), row);
    for (const Expected& leaf : expected[row]) {
      const nlohmann::json* at = &object;
      for (size_t depth = 0; depth < leaf.keys.size(); ++depth) {
        const bool is_taken = depth == 0 && leaf.keys[depth] == "_rank";
        at = &at->at(is_taken ? "__rank" : leaf.keys[depth]);
      }
      EXPECT_EQ(bits(at->get<double>()), leaf.cell) << got[row];
    }
  }
}

}  // namespace
}  // namespace ringlog::store
