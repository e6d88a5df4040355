// The table of row templates of one ring.

#include "client/template_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringlog::client {
namespace {

uint16_t kind_of(const TemplateTable& table, std::span<const Item> items) {
  const record::RowTemplate* const shape = table.find(items);
  return shape == nullptr ? uint16_t{0} : shape->kind();
}

TEST(TemplateTable, FindsNothingAtFirst) {
  const TemplateTable table;
  const Item row[] = {{"loss", 1.0}};
  EXPECT_EQ(table.find(row), nullptr);
  EXPECT_EQ(table.find({}), nullptr);
  EXPECT_EQ(table.next_kind(), shm::kKindRowFirst);
}

TEST(TemplateTable, FindsWhatWasAddedWhateverTheValues) {
  TemplateTable table;
  const Item row[] = {{"loss", 1.0}, {"acc", 0.5}};
  const record::RowTemplate* const added = table.add(row);
  EXPECT_EQ(added->kind(), shm::kKindRowFirst);
  EXPECT_EQ(added->key_count, 2u);
  EXPECT_EQ(added->bytes, record::row_record_bytes(2));
  const Item other[] = {{"loss", -7.0}, {"acc", 1e300}};
  EXPECT_EQ(table.find(other), added);
}

TEST(TemplateTable, ForgetsTheOneAddedLast) {
  TemplateTable table;
  const Item kept[] = {{"loss", 1.0}};
  const Item gone[] = {{"acc", 1.0}};
  table.add(kept);
  table.add(gone);
  table.take_back();
  EXPECT_EQ(table.find(gone), nullptr);
  EXPECT_EQ(table.next_kind(), shm::kKindRowFirst + 1) << "its kind is free again";
  table.add_row(0, 2);
  table.take_back_row(0);
  EXPECT_EQ(table.find_row(0), nullptr);
  EXPECT_EQ(table.next_kind(), shm::kKindRowFirst + 1);
  EXPECT_EQ(kind_of(table, kept), shm::kKindRowFirst);
  EXPECT_EQ(table.add(gone)->kind(), shm::kKindRowFirst + 1);
  EXPECT_EQ(kind_of(table, gone), shm::kKindRowFirst + 1);
}

TEST(TemplateTable, OtherOrdersTypesAndCountsAreOtherRows) {
  TemplateTable table;
  const Item row[] = {{"a", 1.0}, {"b", 2.0}};
  table.add(row);
  const Item order[] = {{"b", 2.0}, {"a", 1.0}};
  const Item type[] = {{"a", 1.0}, {"b", 2}};
  const Item boolean[] = {{"a", 1.0}, {"b", true}};
  const Item fewer[] = {{"a", 1.0}};
  const Item more[] = {{"a", 1.0}, {"b", 2.0}, {"c", 3.0}};
  const Item prefix[] = {{"a", 1.0}, {"bb", 2.0}};
  for (const std::span<const Item> other :
       std::vector<std::span<const Item>>{order, type, boolean, fewer, more, prefix}) {
    EXPECT_EQ(table.find(other), nullptr);
    table.add(other);
  }
  EXPECT_EQ(kind_of(table, row), shm::kKindRowFirst);
  EXPECT_EQ(kind_of(table, order), shm::kKindRowFirst + 1);
  EXPECT_EQ(kind_of(table, type), shm::kKindRowFirst + 2);
  EXPECT_EQ(kind_of(table, boolean), shm::kKindRowFirst + 3);
  EXPECT_EQ(kind_of(table, fewer), shm::kKindRowFirst + 4);
  EXPECT_EQ(kind_of(table, more), shm::kKindRowFirst + 5);
  EXPECT_EQ(kind_of(table, prefix), shm::kKindRowFirst + 6);
}

TEST(TemplateTable, KeysThatHoldZeroBytesStayApart) {
  TemplateTable table;
  const std::string zero("a\0b", 3);
  const Item one[] = {{zero, 1.0}};
  const Item two[] = {{"a", 1.0}, {"b", 1.0}};
  table.add(one);
  EXPECT_EQ(table.find(two), nullptr);
  const Item empty[] = {{std::string_view("\0", 1), 1.0}};
  EXPECT_EQ(table.find(empty), nullptr);
}

TEST(TemplateTable, ARowWithoutKeysIsARow) {
  TemplateTable table;
  const record::RowTemplate* const added = table.add({});
  EXPECT_EQ(added->key_count, 0u);
  EXPECT_EQ(table.find({}), added);
}

// All rows of up to three keys out of few, in every order and type: full, so that every chain of
// the hash table is as long as it gets.
TEST(TemplateTable, HoldsThousandsAndKeepsThemApart) {
  const std::vector<std::string> keys = {"a",          "b", "loss",     "train/loss",
                                         "train/losr", "",  "12345678", "1234567812345678"};
  std::vector<std::vector<Item>> rows;
  const auto values = {Value(1.0), Value(1), Value(true)};
  for (const std::string& a : keys) {
    for (const std::string& b : keys) {
      for (const std::string& c : keys) {
        for (const Value& v : values) {
          for (const Value& w : values) rows.push_back({{a, v}, {b, w}, {c, v}});
        }
      }
    }
  }
  ASSERT_GT(rows.size(), TemplateTable::kTemplatesMax);
  TemplateTable table;
  std::vector<const record::RowTemplate*> added;
  while (!table.is_full()) {
    const std::vector<Item>& row = rows[added.size()];
    ASSERT_EQ(table.find(row), nullptr);
    ASSERT_EQ(table.next_kind(), shm::kKindRowFirst + added.size());
    added.push_back(table.add(row));
  }
  EXPECT_EQ(added.size(), TemplateTable::kTemplatesMax);
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSERT_EQ(table.find(rows[i]), i < added.size() ? added[i] : nullptr) << i;
  }
}

TEST(TemplateTable, KindsOfRowHandlesAndOfKeySetsAreOneSequence) {
  TemplateTable table;
  const Item row[] = {{"a", 1.0}};
  EXPECT_EQ(table.add(row)->kind(), shm::kKindRowFirst);
  EXPECT_EQ(table.find_row(3), nullptr);
  EXPECT_EQ(table.add_row(3, 2)->kind(), shm::kKindRowFirst + 1);
  const Item other[] = {{"b", 1.0}};
  EXPECT_EQ(table.add(other)->kind(), shm::kKindRowFirst + 2);
  EXPECT_EQ(table.add_row(0, 1)->kind(), shm::kKindRowFirst + 3);
  ASSERT_NE(table.find_row(3), nullptr);
  EXPECT_EQ(table.find_row(3)->key_count, 2u);
  EXPECT_EQ(table.find_row(3)->bytes, record::row_record_bytes(2));
  EXPECT_EQ(table.find_row(0)->kind(), shm::kKindRowFirst + 3);
  EXPECT_EQ(table.find_row(1), nullptr) << "a gap is no template";
  EXPECT_EQ(table.find_row(4), nullptr);
}

}  // namespace
}  // namespace ringlog::client
