#include "store/column.h"

#include <blosc.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "store/bit_planes.h"
#include "store/limits.h"

namespace ringlog::store {

static_assert(std::endian::native == std::endian::little, "cells stand little-endian on disk");

namespace {

constexpr size_t kCellSize = sizeof(uint64_t);
// Level 1: higher ones cost half as much again and save 2 % (measured on float32 noise).
constexpr int kCompressionLevel = 1;

// Blosc shuffles bits only of whole groups of this many cells; others cost three times the bytes.
constexpr size_t kGroupCells = 8;

size_t padded(size_t rows) { return (rows + kGroupCells - 1) / kGroupCells * kGroupCells; }

uint64_t zigzag(uint64_t difference) {
  return difference << 1 ^ (uint64_t{0} - (difference >> 63));
}

uint64_t unzigzag(uint64_t code) { return code >> 1 ^ (uint64_t{0} - (code & 1)); }

bool is_progression(std::span<const uint64_t> cells, uint64_t stride) {
  for (size_t i = 1; i < cells.size(); ++i) {
    if (cells[i] - cells[i - 1] != stride) return false;
  }
  return true;
}

// Groups of neighbours by which a column of floats is judged.
constexpr size_t kSamples = 2;

// What differences must save of a column of floats unless there is time: of noise they save a
// twentieth and double the time, of a smooth curve they save half of both.
constexpr double kSavingMin = 0.125;

// A float's bits rise and fall with it, so the differences of neighbours are integers that leave
// out what they have in common.
bool floats_prefer_differences(std::span<const uint64_t> cells, Effort effort) {
  if (cells.size() <= kPlaneCells) return false;
  double plain = 0;
  double different = 0;
  std::array<uint64_t, kPlaneCells> sample{};
  for (size_t i = 0; i < kSamples; ++i) {
    const size_t first = 1 + (cells.size() - 1 - kPlaneCells) * i / (kSamples - 1);
    for (size_t k = 0; k < kPlaneCells; ++k) sample[k] = cells[first + k];
    plain += plane_bits(sample);
    for (size_t k = 0; k < kPlaneCells; ++k) {
      sample[k] = zigzag(cells[first + k] - cells[first + k - 1]);
    }
    different += plane_bits(sample);
  }
  return different < plain * (effort == Effort::kBest ? 1 : 1 - kSavingMin);
}

// Integers that move in steps smaller than they vary compress better as differences.
bool prefers_differences(ColumnType type, std::span<const uint64_t> cells, Effort effort) {
  if (type == ColumnType::kFloat64) return floats_prefer_differences(cells, effort);
  if (type != ColumnType::kInt64 && type != ColumnType::kUint64) return false;
  uint64_t varying = 0;
  uint64_t moving = 0;
  for (size_t i = 1; i < cells.size(); ++i) {
    varying |= cells[i] ^ cells[0];
    moving |= zigzag(cells[i] - cells[i - 1]);
  }
  return std::bit_width(moving) < std::bit_width(varying);
}

void append_raw(std::span<const uint64_t> cells, std::string& out) {
  out.append(reinterpret_cast<const char*>(cells.data()), cells.size_bytes());
}

Error corrupt(const char* what) { return {Code::kCorrupt, what}; }

// Leaves `rows` cells in `out`; the frame holds that many and padding.
Status decode_blosc(std::string_view bytes, size_t rows, std::vector<uint64_t>& out) {
  size_t size = 0;
  if (blosc_cbuffer_validate(bytes.data(), bytes.size(), &size) != 0 ||
      size != padded(rows) * kCellSize) {
    return corrupt("a Blosc frame has the wrong size");
  }
  out.resize(padded(rows));
  const int got = blosc_decompress_ctx(bytes.data(), out.data(), size, 1);
  if (got < 0 || static_cast<size_t>(got) != size) return corrupt("a Blosc frame is damaged");
  out.resize(rows);
  return Done{};
}

}  // namespace

struct ColumnEncoder::Scratch {
  Scratch() = default;
  ~Scratch() { ZSTD_freeCCtx(zstd); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  ZSTD_CCtx* zstd = ZSTD_createCCtx();
  std::vector<uint64_t> differences;
  std::vector<uint64_t> padded_cells;
  std::string bytes;
};

ColumnEncoder::ColumnEncoder() : scratch_(std::make_unique<Scratch>()) {}
ColumnEncoder::~ColumnEncoder() = default;

// False, and nothing appended, when compression does not pay.
bool ColumnEncoder::append_blosc(std::span<const uint64_t> cells, Effort effort, std::string& out) {
  const size_t unpadded_size = cells.size_bytes();
  if (cells.size() % kGroupCells != 0) {
    std::vector<uint64_t>& whole = scratch_->padded_cells;
    whole.assign(cells.begin(), cells.end());
    whole.resize(padded(cells.size()), cells.back());
    cells = whole;
  }
  const size_t raw = cells.size_bytes();
  const char* codec = effort == Effort::kQuick ? BLOSC_LZ4_COMPNAME : BLOSC_ZSTD_COMPNAME;
  const size_t before = out.size();
  out.resize(before + raw + BLOSC_MAX_OVERHEAD);
  const int size = blosc_compress_ctx(kCompressionLevel, BLOSC_BITSHUFFLE, kCellSize, raw,
                                      cells.data(), out.data() + before, raw + BLOSC_MAX_OVERHEAD,
                                      codec, /*blocksize=*/0, /*threads=*/1);
  const bool pays = size > 0 && static_cast<size_t>(size) < unpadded_size;
  out.resize(before + (pays ? static_cast<size_t>(size) : 0));
  return pays;
}

ColumnPlace ColumnEncoder::encode_numbers(ColumnType type, std::span<const uint64_t> cells,
                                          Effort effort, std::string& out) {
  ColumnPlace place;
  const size_t before = out.size();
  const uint64_t stride = cells.size() < 2 ? 0 : cells[1] - cells[0];
  if (is_progression(cells, stride)) {
    place.base = cells[0];
    place.stride = static_cast<int64_t>(stride);
    return place;
  }
  if (cells.size() < kCompressRowsMin) {
    place.encoding = Encoding::kRaw;
    append_raw(cells, out);
  } else if (prefers_differences(type, cells, effort)) {
    place.encoding = Encoding::kDeltaBlosc;
    place.base = cells[0];
    std::vector<uint64_t>& differences = scratch_->differences;
    differences.assign(cells.size(), 0);
    for (size_t i = 1; i < cells.size(); ++i) differences[i] = zigzag(cells[i] - cells[i - 1]);
    // Fewer significant bits than the cells have, so it pays; a compressor that fails is the
    // exception that raw cells are kept for.
    if (!append_blosc(differences, effort, out)) {
      place = {.encoding = Encoding::kRaw};
      append_raw(cells, out);
    }
  } else {
    place.encoding = Encoding::kBlosc;
    if (!append_blosc(cells, effort, out)) {
      place.encoding = Encoding::kRaw;
      append_raw(cells, out);
    }
  }
  place.size = static_cast<uint32_t>(out.size() - before);
  return place;
}

Result<ColumnPlace> ColumnEncoder::encode_bytes(std::span<const std::string_view> cells,
                                                std::string& out) {
  std::string& raw = scratch_->bytes;
  raw.clear();
  for (const std::string_view cell : cells) {
    if (cell.size() > kValueBytesMax) {
      return Error{Code::kTooLarge, "a value of " + std::to_string(cell.size()) +
                                        " bytes is above the limit of " +
                                        std::to_string(kValueBytesMax)};
    }
    const auto size = static_cast<uint32_t>(cell.size());
    raw.append(reinterpret_cast<const char*>(&size), sizeof(size));
  }
  for (const std::string_view cell : cells) raw.append(cell);
  const size_t before = out.size();
  const size_t bound = ZSTD_compressBound(raw.size());
  out.resize(before + bound);
  const size_t size = ZSTD_compressCCtx(scratch_->zstd, out.data() + before, bound, raw.data(),
                                        raw.size(), kCompressionLevel);
  if (ZSTD_isError(size) != 0 || size > UINT32_MAX) {
    out.resize(before);
    return Error{Code::kTooLarge, "values cannot be compressed"};
  }
  out.resize(before + size);
  ColumnPlace place;
  place.encoding = Encoding::kBytesZstd;
  place.size = static_cast<uint32_t>(size);
  return place;
}

Status decode_numbers(const ColumnPlace& place, std::string_view bytes, size_t rows,
                      std::vector<uint64_t>& out) {
  if (rows > kReadRowsMax) return corrupt("a chunk has too many rows");
  out.resize(rows);
  if (rows == 0) return Done{};
  switch (place.encoding) {
    case Encoding::kConstant: {
      uint64_t value = place.base;
      for (uint64_t& cell : out) {
        cell = value;
        value += static_cast<uint64_t>(place.stride);
      }
      return Done{};
    }
    case Encoding::kRaw:
      if (bytes.size() != rows * kCellSize) return corrupt("a raw column has the wrong size");
      std::memcpy(out.data(), bytes.data(), bytes.size());
      return Done{};
    case Encoding::kBlosc:
      return decode_blosc(bytes, rows, out);
    case Encoding::kDeltaBlosc: {
      if (Status read = decode_blosc(bytes, rows, out); !read) return read;
      out[0] = place.base;
      for (size_t i = 1; i < rows; ++i) out[i] = out[i - 1] + unzigzag(out[i]);
      return Done{};
    }
    case Encoding::kBytesZstd:
      return corrupt("a column of numbers holds bytes");
  }
  return corrupt("a column has an unknown encoding");
}

Status decode_bytes(const ColumnPlace& place, std::string_view bytes, size_t rows, std::string& out,
                    std::vector<uint64_t>& ends) {
  if (place.encoding != Encoding::kBytesZstd) return corrupt("a column of bytes holds numbers");
  if (rows > kReadRowsMax) return corrupt("a chunk has too many rows");
  const size_t sizes_size = rows * sizeof(uint32_t);
  const uint64_t size = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  // Rows above the chunk limit stand alone, so this is the most that was ever written.
  if (size < sizes_size || size > sizes_size + kValueBytesMax + kChunkBytesMax) {
    return corrupt("a column of bytes has the wrong size");
  }
  std::string raw(size, '\0');
  const size_t got = ZSTD_decompress(raw.data(), raw.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(got) != 0 || got != size) return corrupt("a column of bytes is damaged");
  ends.resize(rows);
  uint64_t end = 0;
  for (size_t i = 0; i < rows; ++i) {
    uint32_t cell = 0;
    std::memcpy(&cell, raw.data() + i * sizeof(cell), sizeof(cell));
    end += cell;
    ends[i] = end;
  }
  if (end != size - sizes_size) return corrupt("the sizes of byte cells do not add up");
  raw.erase(0, sizes_size);
  out = std::move(raw);
  return Done{};
}

}  // namespace ringlog::store
