#pragma once
// WandbLog: the frame of a .wandb file: LevelDB's log blocks behind a header of seven bytes.
//
//   offset 0   ":W&B"  u16 0xBEE1  u8 version 0
//   then       chunks: u32 crc | u16 size | u8 type (1 full, 2 first, 3 middle, 4 last) | bytes
//
// Blocks are 32768 bytes of the file, the header included; a chunk never crosses the end of one,
// and less than seven bytes there are zeros.  All numbers are little endian.  The checksum is the
// CRC-32 of zlib over type and bytes, neither LevelDB's CRC-32C nor masked.
//
// A value of one thread; it knows how far the file is, nothing else.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ringlog::formats {

class WandbLog {
 public:
  // Appends what the file gets next: the header first, then the record's chunks.
  void append(std::string_view record, std::string& out);

 private:
  void append_chunk(uint8_t type, std::string_view bytes, std::string& out);

  uint64_t offset_ = 0;  // bytes of the file so far
};

}  // namespace ringlog::formats
