// The frame of a .wandb file at the edges of its blocks.  Whole files are read back by
// tests/e2e/export_test.py.

#include "formats/wandb_log.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <string>
#include <vector>

namespace ringlog::formats {
namespace {

constexpr size_t kBlock = 32768;

uint32_t number(const std::string& bytes, size_t at, size_t size) {
  uint32_t value = 0;
  for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// Reads the chunks back, as strictly as W&B's reader.
std::vector<std::string> read_back(const std::string& file) {
  std::vector<std::string> records;
  bool is_open = false;
  for (size_t at = 7; at < file.size();) {
    const size_t room = kBlock - at % kBlock;
    if (room < 7) {
      EXPECT_EQ(file.substr(at, room), std::string(room, '\0'));
      at += room;
      continue;
    }
    const uint32_t size = number(file, at + 4, 2);
    EXPECT_LE(size + 7, room);
    const auto* covered = reinterpret_cast<const Bytef*>(file.data()) + at + 6;
    EXPECT_EQ(number(file, at, 4), ::crc32(0, covered, size + 1));
    const int type = file[at + 6];
    const bool begins = type == 1 || type == 2;
    EXPECT_NE(begins, is_open);
    if (begins) records.emplace_back();
    records.back() += file.substr(at + 7, size);
    is_open = type == 2 || type == 3;
    at += 7 + size;
  }
  EXPECT_FALSE(is_open);
  return records;
}

TEST(WandbLog, BeginsWithTheHeaderThatCountsInTheFirstBlock) {
  WandbLog log;
  std::string file;
  log.append("record", file);
  EXPECT_EQ(file.substr(0, 7), std::string(":W&B\xe1\xbe\x00", 7));
  EXPECT_EQ(file.size(), 7 + 7 + 6U);
  EXPECT_EQ(read_back(file), std::vector<std::string>{"record"});
}

TEST(WandbLog, NoRecordCrossesABlockWhereverItBegins) {
  // The second record begins at each of the last places of the first block.
  for (size_t left = 0; left <= 16; ++left) {
    SCOPED_TRACE(left);
    WandbLog log;
    std::string file;
    const std::vector<std::string> records = {std::string(kBlock - 7 - 7 - left, 'a'), "second", "",
                                              std::string(3 * kBlock, 'b'), "last"};
    for (const std::string& record : records) log.append(record, file);
    EXPECT_EQ(read_back(file), records);
  }
}

}  // namespace
}  // namespace ringlog::formats
