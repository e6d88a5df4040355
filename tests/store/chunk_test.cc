// Chunks keep every bit of every cell, whatever the values are.

#include "store/chunk.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "store/keys.h"
#include "store/limits.h"

namespace ringlog::store {
namespace {

using Random = std::mt19937_64;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// A chunk in memory, under the keys it would have in a store.
class Shelf {
 public:
  explicit Shelf(const EncodedChunk& chunk) {
    values_[key::chunk(kLsn)] = chunk.header;
    for (size_t i = 0; i < chunk.pages.size(); ++i) {
      values_[key::page(kLsn, static_cast<uint16_t>(i))] = chunk.pages[i];
    }
  }
  static constexpr uint64_t kLsn = 7;

  ValueSource source() {
    return [this](const std::string& key) -> Result<std::string> {
      const auto it = values_.find(key);
      if (it == values_.end()) return Error{Code::kNotFound, "no such key"};
      return it->second;
    };
  }
  std::string& header() { return values_[key::chunk(kLsn)]; }
  std::map<std::string, std::string>& values() { return values_; }

 private:
  std::map<std::string, std::string> values_;
};

Result<DecodedChunk> read_back(Shelf& shelf, const KeySet& keys) {
  Result<ChunkInfo> info = read_chunk_header(Shelf::kLsn, shelf.header());
  if (!info) return info.take_error();
  DecodeWish wish;
  for (size_t i = 0; i < keys.columns.size(); ++i) wish.columns.push_back(i);
  return decode_chunk(*info, keys, shelf.source(), wish);
}

Result<EncodedChunk> encode(const RowBlock& block, const KeySet& keys) {
  ChunkEncoder encoder;
  return encoder.encode(block, 0, block.rows(), keys);
}

// The chunk says exactly what the block says.
void expect_same(const RowBlock& block, const KeySet& keys, const DecodedChunk& chunk) {
  ASSERT_EQ(chunk.seq, block.seq);
  ASSERT_EQ(chunk.step, block.step);
  ASSERT_EQ(chunk.columns.size(), keys.columns.size());
  size_t number = 0;
  size_t byte_column = 0;
  for (size_t i = 0; i < keys.columns.size(); ++i) {
    const DecodedColumn& column = chunk.columns[i];
    const bool is_number = keys.columns[i].type != ColumnType::kOther;
    for (size_t row = 0; row < block.rows(); ++row) {
      if (is_number) {
        ASSERT_EQ(column.cells[row], block.cells[row * block.number_count + number])
            << "column " << i << " row " << row;
      } else {
        const uint64_t begin = row == 0 ? 0 : column.ends[row - 1];
        ASSERT_EQ(column.bytes.substr(begin, column.ends[row] - begin),
                  block.byte_cell(row, byte_column));
      }
    }
    is_number ? ++number : ++byte_column;
  }
  for (size_t row = 0; row < block.rows(); ++row) {
    ASSERT_EQ(static_cast<int64_t>(chunk.time_ns[row]), block.time_ns[row]);
  }
}

void expect_round_trip(const RowBlock& block, const KeySet& keys) {
  Result<EncodedChunk> encoded = encode(block, keys);
  ASSERT_TRUE(encoded) << encoded.error().message;
  Shelf shelf(*encoded);
  Result<DecodedChunk> chunk = read_back(shelf, keys);
  ASSERT_TRUE(chunk) << chunk.error().message;
  expect_same(block, keys, *chunk);
}

KeySet doubles(size_t count) {
  KeySet keys{.id = 1, .columns = {}};
  for (size_t i = 0; i < count; ++i) {
    keys.columns.push_back({"metric" + std::to_string(i), ColumnType::kFloat64});
  }
  return keys;
}

uint64_t bits(double value) { return std::bit_cast<uint64_t>(value); }

// One column of the given cells.
RowBlock column_of(const KeySet& keys, const std::vector<uint64_t>& cells) {
  RowBlock block({1, 0}, keys);
  for (size_t i = 0; i < cells.size(); ++i) {
    block.add_row(i, i, static_cast<int64_t>(i) * 1000, std::span(&cells[i], 1));
  }
  return block;
}

uint64_t odd_cell(Random& random) {
  static const std::vector<uint64_t> kOdd = {
      bits(0.0),
      bits(-0.0),
      bits(kNan),
      0x7ff0'dead'beef'0001,  // a NaN with a payload
      0xfff8'0000'0000'0001,
      bits(std::numeric_limits<double>::infinity()),
      bits(-std::numeric_limits<double>::infinity()),
      bits(std::numeric_limits<double>::denorm_min()),
      bits(std::numeric_limits<double>::max()),
      UINT64_MAX,
      static_cast<uint64_t>(INT64_MIN),
      static_cast<uint64_t>(INT64_MAX),
      (uint64_t{1} << 53) + 1,
  };
  return kOdd[random() % kOdd.size()];
}

// Cells as programs log them, and as they do not.
std::vector<uint64_t> random_column(Random& random, size_t rows) {
  std::vector<uint64_t> cells(rows);
  const uint64_t kind = random() % 7;
  const uint64_t base = random();
  const uint64_t stride = random();
  std::normal_distribution<double> normal;
  for (size_t i = 0; i < rows; ++i) {
    switch (kind) {
      case 0:
        cells[i] = base;
        break;
      case 1:
        cells[i] = base + i * stride;  // wraps
        break;
      case 2:
        cells[i] = base + i * 1000 + random() % 64;
        break;
      case 3:
        cells[i] = random();
        break;
      case 4:
        cells[i] = bits(static_cast<double>(static_cast<float>(normal(random))));
        break;
      case 5:
        cells[i] = odd_cell(random);
        break;
      default:
        cells[i] = random() % 2;
    }
  }
  return cells;
}

RowBlock random_block(Random& random, const KeySet& keys, size_t rows) {
  RowBlock block({3, 2}, keys);
  std::vector<std::vector<uint64_t>> columns;
  for (size_t i = 0; i < block.number_count; ++i) columns.push_back(random_column(random, rows));
  const std::vector<uint64_t> steps = random_column(random, rows);
  const std::vector<uint64_t> times = random_column(random, rows);
  uint64_t seq = random() >> 24;
  for (size_t row = 0; row < rows; ++row) {
    std::vector<uint64_t> numbers;
    for (const auto& column : columns) numbers.push_back(column[row]);
    std::vector<std::string> texts;
    for (size_t i = 0; i < block.byte_count; ++i) {
      texts.emplace_back(random() % 40, static_cast<char>(random()));
    }
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    block.add_row(seq, steps[row], static_cast<int64_t>(times[row]), numbers, views);
    seq += 1 + (random() % 16 == 0 ? random() % 1000 : 0);
  }
  return block;
}

KeySet random_keys(Random& random) {
  KeySet keys{.id = 9, .columns = {}};
  const size_t count = random() % 12;
  for (size_t i = 0; i < count; ++i) {
    keys.columns.push_back({"m" + std::to_string(i), static_cast<ColumnType>(random() % 5)});
  }
  return keys;
}

TEST(Chunk, ReturnsEveryBitOfRandomBlocks) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  for (int round = 0; round < 150; ++round) {
    const KeySet keys = random_keys(random);
    const size_t rows = random() % 3 == 0 ? 1 + random() % 4096 : 1 + random() % 100;
    expect_round_trip(random_block(random, keys, rows), keys);
    if (HasFatalFailure()) return;
  }
}

TEST(Chunk, KeepsOneRowAndAFullChunk) {
  Random random(5);
  for (const size_t rows : {size_t{1}, size_t{2}, kCompressRowsMin - 1, kCompressRowsMin,
                            kChunkRowsMax - 1, kChunkRowsMax}) {
    SCOPED_TRACE(rows);
    const KeySet keys = doubles(3);
    expect_round_trip(random_block(random, keys, rows), keys);
  }
}

TEST(Chunk, KeepsARowWithoutKeys) {
  const KeySet keys{.id = 1, .columns = {}};
  RowBlock block({1, 0}, keys);
  block.add_row(5, 6, 7, {});
  expect_round_trip(block, keys);
}

TEST(Chunk, EncodesAnySliceOfABlock) {
  Random random(11);
  const KeySet keys = doubles(9);
  const RowBlock block = random_block(random, keys, 1000);
  RowBlock part({3, 2}, keys);
  part.append(block, 200, 777);
  ChunkEncoder encoder;
  Result<EncodedChunk> encoded = encoder.encode(block, 200, 777, keys);
  ASSERT_TRUE(encoded);
  Shelf shelf(*encoded);
  Result<DecodedChunk> chunk = read_back(shelf, keys);
  ASSERT_TRUE(chunk) << chunk.error().message;
  expect_same(part, keys, *chunk);
}

TEST(Chunk, KeepsTenThousandColumnsInAboutTenBytesEach) {
  Random random(3);
  const KeySet keys = doubles(10'000);
  const RowBlock block = random_block(random, keys, 1);
  Result<EncodedChunk> encoded = encode(block, keys);
  ASSERT_TRUE(encoded);
  EXPECT_LT(encoded->size(), 11 * keys.columns.size());
  expect_round_trip(block, keys);
  expect_round_trip(random_block(random, keys, 70), keys);
}

TEST(Chunk, KeepsAByteCellOfTenMegabytes) {
  const KeySet keys{.id = 1, .columns = {{"a", ColumnType::kFloat64}, {"b", ColumnType::kOther}}};
  RowBlock block({1, 0}, keys);
  Random random(1);
  std::string large(10 << 20, '\0');
  for (char& c : large) c = static_cast<char>(random());
  const uint64_t number = bits(1.5);
  for (const std::string_view text :
       {std::string_view("small"), std::string_view(large), std::string_view()}) {
    block.add_row(block.rows(), 1, 1, std::span(&number, 1), std::span(&text, 1));
  }
  expect_round_trip(block, keys);
}

TEST(Chunk, StoresStridesInNoBytes) {
  const KeySet keys = doubles(1);
  std::vector<uint64_t> cells;
  for (uint64_t i = 0; i < kChunkRowsMax; ++i) cells.push_back(UINT64_MAX - 5 + i * 3);
  Result<EncodedChunk> encoded = encode(column_of(keys, cells), keys);
  ASSERT_TRUE(encoded);
  EXPECT_TRUE(encoded->pages.empty());
  EXPECT_LT(encoded->size(), 200U);
}

ColumnStatistics statistics(ColumnType type, const std::vector<uint64_t>& cells) {
  const KeySet keys{.id = 1, .columns = {{"m", type}}};
  Result<EncodedChunk> encoded = encode(column_of(keys, cells), keys);
  Shelf shelf(*encoded);
  Result<ChunkInfo> info = read_chunk_header(Shelf::kLsn, shelf.header());
  const ValueSource source = shelf.source();
  Result<ChunkReader> reader = ChunkReader::open(*info, keys, source);
  return reader->lookup(0).statistics;
}

TEST(Chunk, StatisticsLeaveOutWhatIsNotFinite) {
  const double inf = std::numeric_limits<double>::infinity();
  const ColumnStatistics s = statistics(
      ColumnType::kFloat64, {bits(kNan), bits(2.0), bits(-inf), bits(-4.0), bits(5.0), bits(inf)});
  EXPECT_EQ(s.non_finite, 3U);
  EXPECT_TRUE(std::isnan(s.first));
  EXPECT_EQ(s.last, inf);
  EXPECT_EQ(s.min, -4.0);
  EXPECT_EQ(s.max, 5.0);
  EXPECT_EQ(s.mean, 1.0);
}

TEST(Chunk, StatisticsOfConstantsFollowFromTheBase) {
  const ColumnStatistics s = statistics(ColumnType::kInt64, {UINT64_MAX, UINT64_MAX});
  EXPECT_EQ(s.first, -1.0);
  EXPECT_EQ(s.min, -1.0);
  EXPECT_EQ(s.mean, -1.0);
  EXPECT_EQ(s.non_finite, 0U);
  EXPECT_TRUE(std::isnan(statistics(ColumnType::kFloat64, {bits(kNan)}).mean));
}

TEST(Chunk, TheMeanOfHugeValuesIsNotInfinite) {
  const double huge = std::numeric_limits<double>::max();
  const ColumnStatistics s =
      statistics(ColumnType::kFloat64, {bits(huge), bits(huge / 2), bits(huge)});
  EXPECT_TRUE(std::isfinite(s.mean));
  EXPECT_EQ(s.max, huge);
}

TEST(Chunk, ReadingOneMetricOfAHundredFetchesOnePage) {
  Random random(4);
  const KeySet keys = doubles(100);
  RowBlock block({1, 0}, keys);
  for (uint64_t row = 0; row < 1000; ++row) {
    std::vector<uint64_t> numbers(100);
    for (uint64_t& cell : numbers) cell = random();
    block.add_row(row, row, static_cast<int64_t>(row), numbers);
  }
  Result<EncodedChunk> encoded = encode(block, keys);
  ASSERT_TRUE(encoded);
  Shelf shelf(*encoded);
  size_t fetched = 0;
  const ValueSource plain = shelf.source();
  const ValueSource counting = [&](const std::string& key) {
    Result<std::string> value = plain(key);
    fetched += value->size();
    return value;
  };
  Result<ChunkInfo> info = read_chunk_header(Shelf::kLsn, shelf.header());
  ASSERT_TRUE(info);
  Result<DecodedChunk> chunk = decode_chunk(*info, keys, counting, {.columns = {50}});
  ASSERT_TRUE(chunk) << chunk.error().message;
  EXPECT_EQ(chunk->columns[0].cells[999], block.cells[999 * 100 + 50]);
  EXPECT_LT(fetched, 60U << 10);
}

TEST(Chunk, DamageIsAnErrorAndNeverACrash) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  for (int round = 0; round < 400; ++round) {
    const KeySet keys = random_keys(random);
    Result<EncodedChunk> encoded = encode(random_block(random, keys, 1 + random() % 300), keys);
    ASSERT_TRUE(encoded);
    Shelf shelf(*encoded);
    auto it = shelf.values().begin();
    std::advance(it, static_cast<ptrdiff_t>(random() % shelf.values().size()));
    std::string& value = it->second;
    for (int flips = 0; flips < 3 && !value.empty(); ++flips) {
      value[random() % value.size()] ^= static_cast<char>(1 << random() % 8);
    }
    if (random() % 4 == 0) value.resize(random() % (value.size() + 1));
    // LevelDB's checksums notice damage first; without them a reader must still survive it.
    if (Result<DecodedChunk> chunk = read_back(shelf, keys); !chunk) {
      EXPECT_FALSE(chunk.error().message.empty());
    }
  }
}

}  // namespace
}  // namespace ringlog::store
