#pragma once
// One column: from cells to compressed bytes and back, and what is remembered about it.
//
// Encoded bytes come from disk when they are decoded: every size is checked before it is used.
// ColumnEncoder keeps compressor state and belongs to one thread; the functions are safe from any.

#include <ringlog/result.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/model.h"

namespace ringlog::store {

// Same numbers as schema Columns.Encoding.
enum class Encoding : uint16_t {
  kConstant = 0,
  kRaw = 1,
  kBlosc = 2,
  kDeltaBlosc = 3,
  kBytesZstd = 4,
};

// Where a column's bytes are and how they are read.
struct ColumnPlace {
  Encoding encoding = Encoding::kConstant;
  uint16_t page = 0;
  uint32_t offset = 0;
  uint32_t size = 0;
  uint64_t base = 0;
  int64_t stride = 0;

  bool is_constant() const { return encoding == Encoding::kConstant && stride == 0; }
};

// Of the rows of one chunk; min, max and mean are over finite values, NaN when there is none.
struct ColumnStatistics {
  uint32_t non_finite = 0;
  double first = 0;
  double last = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
};

// An eight-byte cell as a double.  Requires type != kOther.
double cell_as_double(ColumnType type, uint64_t bits);

// Requires type != kOther and at least one cell.
ColumnStatistics statistics_of(ColumnType type, std::span<const uint64_t> cells);
// Of `rows` equal cells.
ColumnStatistics constant_statistics(ColumnType type, uint64_t bits, uint32_t rows);

// How long to look for the shortest form.
enum class Effort : uint8_t {
  kQuick,  // for cells that will be merged and compressed again soon: half the time, 6 % larger
  kFull,
  kBest,  // for cells that came slowly: noise takes twice the time and becomes 5 % smaller
};

class ColumnEncoder {
 public:
  ColumnEncoder();
  ~ColumnEncoder();
  ColumnEncoder(const ColumnEncoder&) = delete;
  ColumnEncoder& operator=(const ColumnEncoder&) = delete;

  // Appends the encoded cells to `out`; the place's page and offset are left to the caller.
  // Requires at least one cell, and at most 2^28.
  ColumnPlace encode_numbers(ColumnType type, std::span<const uint64_t> cells, Effort effort,
                             std::string& out);
  //   kTooLarge  a cell or all of them are above what the format can hold
  Result<ColumnPlace> encode_bytes(std::span<const std::string_view> cells, std::string& out);

 private:
  struct Scratch;
  bool append_blosc(std::span<const uint64_t> cells, Effort effort, std::string& out);
  std::unique_ptr<Scratch> scratch_;
};

// Both replace the contents of `out` with exactly `rows` cells; `bytes` are the column's own.
//   kCorrupt  the bytes are not that many cells
Status decode_numbers(const ColumnPlace& place, std::string_view bytes, size_t rows,
                      std::vector<uint64_t>& out);
// `ends[i]` is where cell i ends in `out`.
Status decode_bytes(const ColumnPlace& place, std::string_view bytes, size_t rows, std::string& out,
                    std::vector<uint64_t>& ends);

}  // namespace ringlog::store
