// A column takes few bytes and gives every bit back.

#include "store/column.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "result_matchers.h"
#include "seed.h"

namespace ringlog::store {
namespace {

using test::IsOk;

constexpr size_t kRows = 4096;

// A double for each row, rounded to float32, as most metrics are.
template <typename Value>
std::vector<uint64_t> floats(Value value) {
  std::vector<uint64_t> cells;
  for (size_t i = 0; i < kRows; ++i) {
    cells.push_back(std::bit_cast<uint64_t>(static_cast<double>(static_cast<float>(value(i)))));
  }
  return cells;
}

struct Encoded {
  ColumnPlace place;
  std::string bytes;
};

// Encodes the cells and makes sure that they come back.
Encoded encode(const std::vector<uint64_t>& cells, Effort effort) {
  ColumnEncoder encoder;
  Encoded encoded;
  encoded.place = encoder.encode_numbers(ColumnType::kFloat64, cells, effort, encoded.bytes);
  std::vector<uint64_t> decoded;
  EXPECT_THAT(decode_numbers(encoded.place, encoded.bytes, cells.size(), decoded), IsOk());
  EXPECT_EQ(decoded, cells);
  return encoded;
}

double cosine(size_t i) { return 4e-3 * (1 + std::cos(3.14159 * static_cast<double>(i) / kRows)); }

TEST(Column, ASmoothCurveIsKeptAsDifferencesInHalfTheBytes) {
  const std::vector<uint64_t> cells = floats(cosine);
  for (const Effort effort : {Effort::kFull, Effort::kBest}) {
    const Encoded encoded = encode(cells, effort);
    EXPECT_EQ(encoded.place.encoding, Encoding::kDeltaBlosc);
    EXPECT_LE(encoded.bytes.size(), kRows * 3 / 2);
  }
}

TEST(Column, NoiseIsKeptAsDifferencesOnlyWhenThereIsTime) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(0.5, 4.5);
  const std::vector<uint64_t> cells = floats([&](size_t) { return uniform(random); });
  const Encoded full = encode(cells, Effort::kFull);
  const Encoded best = encode(cells, Effort::kBest);
  EXPECT_EQ(full.place.encoding, Encoding::kBlosc);
  EXPECT_EQ(best.place.encoding, Encoding::kDeltaBlosc);
  EXPECT_LT(best.bytes.size(), full.bytes.size());
}

TEST(Column, AnyBitsComeBackFromAnyNumberOfRows) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  std::mt19937_64 random(seed);
  for (const size_t rows : {size_t{1}, size_t{2}, size_t{63}, size_t{64}, size_t{65}, size_t{66},
                            size_t{127}, size_t{1000}, kRows}) {
    std::vector<uint64_t> smooth = floats(cosine);
    smooth.resize(rows);
    // What a curve may meet: values whose bits are far from their neighbours'.
    for (const double odd : {std::numeric_limits<double>::quiet_NaN(), HUGE_VAL, -0.0, -1e300}) {
      smooth[random() % rows] = std::bit_cast<uint64_t>(odd);
    }
    std::vector<uint64_t> bits(rows);
    for (uint64_t& cell : bits) cell = random();
    for (const Effort effort : {Effort::kQuick, Effort::kFull, Effort::kBest}) {
      encode(smooth, effort);
      encode(bits, effort);
    }
  }
}

}  // namespace
}  // namespace ringlog::store
