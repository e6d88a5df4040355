// Chunks as they stand on disk.
//
//   mode:u8 · even: header size:u16, header, page 0 size:u16, page 0, the rest is page 1
//             odd:  cells, of which a chunk is made and read back
//
// What decodes has the columns and rows it says, and encoded again says the same.

#include <limits>
#include <string>
#include <vector>

#include "store/chunk.h"
#include "store/keys.h"
#include "tests/fuzz/input.h"

namespace ringlog::fuzz {
namespace {

using namespace store;  // NOLINT

constexpr uint64_t kLsn = 7;
// Rows that are decoded, and encoded again; more, up to a million, only take longer.
constexpr size_t kRowsDecoded = 64 * 1024;
constexpr size_t kRowsAgain = 4096;

const KeySet& keys() {
  static const KeySet kKeys{.id = 1,
                            .columns = {{"f", ColumnType::kFloat64},
                                        {"i", ColumnType::kInt64},
                                        {"o", ColumnType::kOther},
                                        {"b", ColumnType::kBool},
                                        {"u", ColumnType::kUint64}}};
  return kKeys;
}

// The values under a chunk's keys.
struct Shelf {
  std::string header;
  std::vector<std::string> pages;

  ValueSource source() const {
    return [this](const std::string& key) -> Result<std::string> {
      if (key == key::chunk(kLsn)) return header;
      for (uint16_t page = 0; page < pages.size(); ++page) {
        if (key == key::page(kLsn, page)) return pages[page];
      }
      return Error{Code::kNotFound, "no such key"};
    };
  }
};

Result<DecodedChunk> decode(const Shelf& shelf) {
  auto info = read_chunk_header(kLsn, shelf.header);
  if (!info) return info.take_error();
  if (info->rows > kRowsDecoded) return Error{Code::kCorrupt, "more rows than are looked at here"};
  return decode_chunk(*info, keys(), shelf.source(), {.columns = {0, 1, 2, 3, 4}});
}

void check_shape(const DecodedChunk& chunk) {
  const size_t rows = chunk.info.rows;
  require(chunk.seq.size() == rows && chunk.step.size() == rows && chunk.time_ns.size() == rows,
          "every row has its number, step and time");
  require(chunk.columns.size() == keys().columns.size(), "every column is there");
  for (size_t i = 0; i < chunk.columns.size(); ++i) {
    const DecodedColumn& column = chunk.columns[i];
    if (keys().columns[i].type != ColumnType::kOther) {
      require(column.cells.size() == rows, "every row has its cell");
      continue;
    }
    require(column.ends.size() == rows, "every row has its byte cell");
    uint64_t end = 0;
    for (const uint64_t next : column.ends) {
      require(next >= end && next <= column.bytes.size(), "byte cells lie one after another");
      end = next;
    }
  }
}

RowBlock block_of(const DecodedChunk& chunk) {
  RowBlock block({1, 0}, keys());
  const DecodedColumn& other = chunk.columns[2];
  for (size_t row = 0; row < chunk.info.rows; ++row) {
    const uint64_t begin = row == 0 ? 0 : other.ends[row - 1];
    const std::string_view cell =
        std::string_view(other.bytes).substr(begin, other.ends[row] - begin);
    const uint64_t numbers[] = {chunk.columns[0].cells[row], chunk.columns[1].cells[row],
                                chunk.columns[3].cells[row], chunk.columns[4].cells[row]};
    block.add_row(chunk.seq[row], chunk.step[row], static_cast<int64_t>(chunk.time_ns[row]),
                  numbers, std::span(&cell, 1));
  }
  return block;
}

// Encodes the block and reads it back.
void check_round_trip(const RowBlock& block) {
  static ChunkEncoder encoder;
  auto encoded = encoder.encode(block, 0, block.rows(), keys());
  require(static_cast<bool>(encoded), "rows that fit are encoded");
  const auto again = decode({encoded->header, encoded->pages});
  require(static_cast<bool>(again), "what was encoded decodes");
  check_shape(*again);
  const RowBlock same = block_of(*again);
  require(same.seq == block.seq && same.step == block.step && same.time_ns == block.time_ns &&
              same.cells == block.cells && same.bytes == block.bytes &&
              same.byte_ends == block.byte_ends,
          "a chunk keeps every bit");
}

void check_foreign(Input& input) {
  Shelf shelf;
  shelf.header = input.take_text(input.take<uint16_t>());
  shelf.pages.push_back(input.take_text(input.take<uint16_t>()));
  shelf.pages.push_back(input.rest());
  const auto chunk = decode(shelf);
  if (!chunk) {
    require(chunk.error().code == Code::kCorrupt || chunk.error().code == Code::kNotFound,
            "a foreign chunk is corrupt, or a part of it is missing");
    return;
  }
  check_shape(*chunk);
  if (chunk->info.rows <= kRowsAgain) check_round_trip(block_of(*chunk));
}

void check_cells(Input& input) {
  RowBlock block({1, 0}, keys());
  uint64_t seq = 0;
  // A byte says how a row follows from the one before it, so that columns of all kinds come about.
  uint64_t numbers[4] = {};
  uint64_t step = 0;
  int64_t time_ns = 0;
  while (!input.is_empty() && block.rows() < kRowsAgain) {
    const uint8_t change = input.take<uint8_t>();
    for (size_t i = 0; i < 4; ++i) {
      if ((change >> i & 1) != 0) numbers[i] = input.take<uint64_t>();
    }
    numbers[1] += change >> 4;
    step += (change & 16) != 0 ? input.take<uint64_t>() : 1;
    const uint64_t passed = (change & 32) != 0 ? input.take<uint64_t>() : 1000;
    time_ns = static_cast<int64_t>(static_cast<uint64_t>(time_ns) + passed);
    const std::string cell = (change & 64) != 0 ? input.take_text(input.take<uint8_t>()) : "";
    const std::string_view view = cell;
    for (int repeats = (change & 128) != 0 ? 200 : 1; repeats > 0; --repeats) {
      block.add_row(seq++, step, time_ns, numbers, std::span(&view, 1));
    }
  }
  if (!block.empty()) check_round_trip(block);
}

}  // namespace
}  // namespace ringlog::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ringlog::fuzz::Input input(data, size);
  input.take<uint8_t>() % 2 == 0 ? ringlog::fuzz::check_foreign(input)
                                 : ringlog::fuzz::check_cells(input);
  return 0;
}
