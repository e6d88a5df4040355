// What is checked before it is encoded, and that what is encoded reads back.

#include "record/encode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "result_matchers.h"

namespace ringlog::record {
namespace {

using test::FailsWith;
using test::IsOk;
using ::testing::HasSubstr;

Status check_one(std::string_view key, const Value& value) {
  const Item item{key, value};
  return check_items(std::span(&item, 1));
}

TEST(CheckItems, TakesAnyTextForAKey) {
  for (const std::string_view key : {"loss", "a.b", " ", "\x1f", "ключ", "\x01", "\""}) {
    EXPECT_THAT(check_key(key), IsOk());
    EXPECT_THAT(check_one(key, 1), IsOk());
  }
  EXPECT_THAT(check_key(std::string(kKeySizeMax, 'k')), IsOk());
  EXPECT_THAT(check_items({}), IsOk());
}

TEST(CheckItems, RefusesAnEmptyKeyWhereverItIs) {
  EXPECT_THAT(check_key(""), FailsWith(Code::kInvalidArgument, "a key is empty"));
  EXPECT_THAT(check_one("a", {{"", 1}}), FailsWith(Code::kInvalidArgument, "a key is empty"));
  const Item deepest[] = {{"", 2}};
  const Item deep[] = {{"b", std::span<const Item>(deepest)}};
  const Value inner[] = {1, std::span<const Item>(deep)};
  EXPECT_THAT(check_one("a", Value(std::span<const Value>(inner))),
              FailsWith(Code::kInvalidArgument, "a key is empty"));
}

TEST(CheckItems, RefusesKeysThatAreNotUtf8AndShowsThemEscaped) {
  EXPECT_THAT(check_key("lo\xffss"),
              FailsWith(Code::kInvalidArgument, "key \"lo\\xffss\" is not UTF-8"));
  EXPECT_THAT(check_key(std::string(200, 'k') + "\xc0"),
              FailsWith(Code::kInvalidArgument, HasSubstr(std::string(64, 'k') + "…\"")));
}

TEST(CheckItems, RefusesTextThatIsNotUtf8AndNamesItsKey) {
  EXPECT_THAT(check_one("note", "\xed\xa0\x80"),
              FailsWith(Code::kInvalidArgument, "the text under key \"note\" is not UTF-8"));
  EXPECT_THAT(check_one("a", {{"b", "\x80"}}),
              FailsWith(Code::kInvalidArgument, HasSubstr("under key \"b\"")));
}

TEST(CheckItems, RefusesAKeyThatIsTooLongAndSaysHowLongItMayBe) {
  EXPECT_THAT(check_key(std::string(kKeySizeMax + 1, 'k')),
              FailsWith(Code::kTooLarge, HasSubstr("has 4097 bytes; 4096 are allowed")));
}

TEST(CheckItems, CountsKeysAtAllLevels) {
  std::vector<Item> many(kRowKeysMax, Item{"k", 1});
  EXPECT_THAT(check_items(many), IsOk());
  many.push_back({"k", 1});
  EXPECT_THAT(check_items(many), FailsWith(Code::kTooLarge, "more than 65536 keys in one row"));
  many.resize(kRowKeysMax / 2);
  const Item halves[] = {{"a", Value(many)}, {"b", Value(many)}};
  EXPECT_THAT(check_items(halves), FailsWith(Code::kTooLarge));
}

// An object (or list) in an object (or list) … around a number, `depth` of them.
class Nested {
 public:
  Nested(int depth, bool as_list) : items_(static_cast<size_t>(depth)) {
    value = Value(1.5);
    for (Item& item : items_) {
      item = {"k", value};
      value = as_list ? Value(std::span<const Value>(&item.value, 1))
                      : Value(std::span<const Item>(&item, 1));
    }
  }
  Value value;

 private:
  std::vector<Item> items_;
};

TEST(CheckItems, AllowsSixteenLevelsAndNoMore) {
  for (const bool as_list : {false, true}) {
    EXPECT_THAT(check_one("top", Nested(kValueDepthMax - 1, as_list).value), IsOk());
    EXPECT_THAT(check_one("top", Nested(kValueDepthMax, as_list).value),
                FailsWith(Code::kInvalidArgument, HasSubstr("nested deeper than 16 levels")));
  }
}

// The value under "key" in a config record, read back with `read`.
template <typename Read>
void read_back(const Value& value, Read read) {
  const Item item{"key", value};
  ASSERT_THAT(check_items(std::span(&item, 1)), IsOk());
  const Words words = encode_config(std::span(&item, 1), 123);
  MessageView view(as_bytes(words));
  auto record = view.root<schema::Record>();
  ASSERT_EQ(record.getTimeNs(), 123);
  ASSERT_TRUE(record.isConfig());
  ASSERT_EQ(record.getConfig().size(), 1u);
  ASSERT_EQ(record.getConfig()[0].getKey(), "key");
  read(record.getConfig()[0].getValue());
}

TEST(EncodeValue, NumbersAreBitExact) {
  read_back(nullptr, [](auto v) { EXPECT_TRUE(v.isNull()); });
  for (const uint64_t bits :
       {std::bit_cast<uint64_t>(-0.0), std::bit_cast<uint64_t>(0.1), uint64_t{0x7ff0000000000000},
        uint64_t{0xfff0000000000000}, uint64_t{0x7ff8000000000123}, uint64_t{0xfff8000000000000},
        uint64_t{1}}) {
    read_back(std::bit_cast<double>(bits), [&](auto v) {
      ASSERT_TRUE(v.isFloat64());
      EXPECT_EQ(std::bit_cast<uint64_t>(v.getFloat64()), bits);
    });
  }
  read_back(1.5f, [](auto v) { EXPECT_EQ(v.getFloat64(), 1.5); });
  for (const int64_t number : {INT64_MIN, int64_t{-1}, int64_t{0}, INT64_MAX}) {
    read_back(number, [&](auto v) {
      ASSERT_TRUE(v.isInt64());
      EXPECT_EQ(v.getInt64(), number);
    });
  }
  for (const uint64_t number : {uint64_t{1} << 63, ~uint64_t{0}}) {
    read_back(number, [&](auto v) {
      ASSERT_TRUE(v.isUint64());
      EXPECT_EQ(v.getUint64(), number);
    });
  }
  read_back(uint64_t{7}, [](auto v) { EXPECT_EQ(v.getInt64(), 7); });
  read_back(true, [](auto v) { EXPECT_TRUE(v.isBool() && v.getBool()); });
  read_back(false, [](auto v) { EXPECT_TRUE(v.isBool() && !v.getBool()); });
}

TEST(EncodeValue, TextKeepsEveryByte) {
  for (const std::string& text : {std::string(), std::string("warm"), std::string("a\0b", 3),
                                  std::string("naïve — 日本 🎉"), std::string(10'000, 'x')}) {
    read_back(text, [&](auto v) {
      ASSERT_TRUE(v.isText());
      EXPECT_EQ(std::string(v.getText().begin(), v.getText().size()), text);
    });
  }
}

TEST(EncodeValue, ListsKeepTheirOrder) {
  read_back({1.0, -2.5, 3.0}, [](auto v) {
    ASSERT_TRUE(v.isFloat64List());
    ASSERT_EQ(v.getFloat64List().size(), 3u);
    EXPECT_EQ(v.getFloat64List()[1], -2.5);
  });
  read_back(std::vector<int64_t>{5, INT64_MIN}, [](auto v) {
    ASSERT_TRUE(v.isInt64List());
    EXPECT_EQ(v.getInt64List()[1], INT64_MIN);
  });
  read_back(std::vector<Value>{1, "two", nullptr, Value{{"three", 3.0}}}, [](auto v) {
    ASSERT_TRUE(v.isList());
    ASSERT_EQ(v.getList().size(), 4u);
    EXPECT_EQ(v.getList()[0].getInt64(), 1);
    EXPECT_EQ(v.getList()[1].getText(), "two");
    EXPECT_TRUE(v.getList()[2].isNull());
    EXPECT_EQ(v.getList()[3].getObject()[0].getKey(), "three");
  });
  read_back(std::vector<double>{}, [](auto v) { EXPECT_EQ(v.getFloat64List().size(), 0u); });
}

TEST(EncodeValue, ObjectsNest) {
  read_back({{"a", 1}, {"b", {{"c", "d"}}}}, [](auto v) {
    ASSERT_TRUE(v.isObject());
    EXPECT_EQ(v.getObject()[0].getValue().getInt64(), 1);
    EXPECT_EQ(v.getObject()[1].getValue().getObject()[0].getValue().getText(), "d");
  });
}

TEST(EncodeValue, WhatMayBeLoggedCanBeRead) {
  for (const bool as_list : {false, true}) {
    read_back(Nested(kValueDepthMax - 1, as_list).value, [&](schema::Value::Reader v) {
      for (int level = 1; level < kValueDepthMax; ++level) {
        v = as_list ? v.getList()[0] : v.getObject()[0].getValue();
      }
      EXPECT_EQ(v.getFloat64(), 1.5);
    });
  }
}

// A record, read back with `read`.
template <typename Read>
void read_record(const Words& words, Read read) {
  MessageView view(as_bytes(words));
  auto record = view.root<schema::Record>();
  EXPECT_EQ(record.getTimeNs(), 456);
  read(record);
}

TEST(EncodeRecord, KeySet) {
  const ColumnSpec columns[] = {{"loss", schema::ColumnType::FLOAT64},
                                {"a\x1f"
                                 "b",
                                 schema::ColumnType::BOOL}};
  read_record(encode_key_set(70, columns, 456), [](auto record) {
    EXPECT_EQ(record.getKeySet().getKind(), 70);
    ASSERT_EQ(record.getKeySet().getColumns().size(), 2u);
    EXPECT_EQ(record.getKeySet().getColumns()[0].getPath(), "loss");
    EXPECT_EQ(record.getKeySet().getColumns()[1].getType(), schema::ColumnType::BOOL);
  });
}

TEST(EncodeRecord, FreeRowAndSummary) {
  const Item items[] = {{"loss", 0.5}, {"tag", "warm"}};
  read_record(encode_free_row(12, 456, items), [](auto record) {
    EXPECT_EQ(record.getRow().getStep(), 12u);
    EXPECT_EQ(record.getRow().getTimeNs(), 456);
    EXPECT_EQ(record.getRow().getFields()[1].getValue().getText(), "warm");
  });
  read_record(encode_summary(items, 456),
              [](auto record) { EXPECT_EQ(record.getSummary().size(), 2u); });
}

TEST(EncodeRecord, WhatSurroundsAProcessComesBack) {
  const ProcessFacts facts{.executable = "/bin/train",
                           .build_id = "0a1b",
                           .command = {"train", "--lr", ""},
                           .directory = "/work",
                           .user = "somebody",
                           .system = "Linux 6",
                           .cpus = 8,
                           .environment = {{"RANK", "1"}, {"SLURM_JOB_ID", ""}},
                           .container = {{"kind", "docker"}},
                           .git = {"/work", "abc", "main", "https://host/x"},
                           .settings = {{"project", "p", "argument"}, {"tags", "", "default"}}};
  read_record(encode_process(facts, 456),
              [&](auto record) { EXPECT_EQ(read_process(record.getProcess()), facts); });
  read_record(encode_process({}, 456),
              [&](auto record) { EXPECT_EQ(read_process(record.getProcess()), ProcessFacts()); });
}

TEST(EncodeRecord, MetricAlertConsoleAndFile) {
  read_record(encode_metric("val/*", {"epoch", {"min", "last"}, true}, 456), [](auto record) {
    EXPECT_EQ(record.getMetric().getName(), "val/*");
    EXPECT_EQ(record.getMetric().getStepMetric(), "epoch");
    EXPECT_EQ(record.getMetric().getSummary()[1], "last");
    EXPECT_TRUE(record.getMetric().getHidden());
  });
  read_record(encode_alert("hot", "GPU 3 is hot", AlertLevel::kError, 456), [](auto record) {
    EXPECT_EQ(record.getAlert().getTitle(), "hot");
    EXPECT_EQ(record.getAlert().getText(), "GPU 3 is hot");
    EXPECT_EQ(record.getAlert().getLevel(), schema::Alert::Level::ERROR);
  });
  const std::string bytes("half a \xe2\x82", 9);
  read_record(encode_console(bytes, true, 456), [&](auto record) {
    EXPECT_EQ(record.getConsole().getStream(), schema::Console::Stream::STDERR);
    const auto data = record.getConsole().getData();
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(data.begin()), data.size()), bytes);
  });
  const FileFacts file{.name = "model.pt",
                       .source = "/tmp/model.pt",
                       .policy = SavePolicy::kEnd,
                       .state = FileState::kFailed,
                       .size = 7,
                       .problem = "the disk is full",
                       .is_final = true};
  read_record(encode_file(file, 456),
              [&](auto record) { EXPECT_EQ(read_file(record.getFile()), file); });
}

TEST(EncodeRecord, FinishAndBlob) {
  for (const bool is_implied : {false, true}) {
    read_record(encode_finish(-3, is_implied, 456), [&](auto record) {
      EXPECT_EQ(record.getFinish().getExitCode(), -3);
      EXPECT_EQ(record.getFinish().getIsImplied(), is_implied);
    });
  }
  read_record(encode_finish(137, false, 456, 9),
              [](auto record) { EXPECT_EQ(record.getFinish().getSignal(), 9); });
  read_record(encode_blob(8, 1 << 20, 456), [](auto record) {
    EXPECT_EQ(record.getBlob().getId(), 8u);
    EXPECT_EQ(record.getBlob().getSize(), 1u << 20);
  });
}

TEST(EncodeRecord, Requests) {
  using Which = schema::Request::Which;
  const std::pair<RequestKind, Which> kinds[] = {{RequestKind::kFlush, Which::FLUSH},
                                                 {RequestKind::kFinish, Which::FINISH},
                                                 {RequestKind::kSummary, Which::SUMMARY},
                                                 {RequestKind::kRunInfo, Which::RUN_INFO}};
  for (const auto& [kind, which] : kinds) {
    read_record(encode_request({kind, Durability::kSynced, 5, 0x11}, 456), [&](auto record) {
      EXPECT_EQ(record.getRequest().getSlot(), 5u);
      EXPECT_EQ(record.getRequest().getWord(), 0x11u);
      EXPECT_EQ(record.getRequest().which(), which);
      if (kind == RequestKind::kFlush) {
        EXPECT_EQ(record.getRequest().getFlush(), schema::Durability::SYNCED);
      }
    });
  }
}

TEST(EncodeRecord, LargeOnesAreStillOneSegment) {
  const std::string text(200'000, 'x');
  const std::vector<Item> items(50, Item{"k", Value(text)});
  const Words words = encode_config(items, 456);
  read_record(words, [&](auto record) {
    ASSERT_EQ(record.getConfig().size(), 50u);
    EXPECT_EQ(record.getConfig()[49].getValue().getText().size(), text.size());
  });
}

}  // namespace
}  // namespace ringlog::record
