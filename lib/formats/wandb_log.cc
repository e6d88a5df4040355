#include "formats/wandb_log.h"

#include <zlib.h>

#include <algorithm>

#include "formats/little_endian.h"

namespace ringlog::formats {

namespace {

constexpr size_t kBlockSize = 32768;
constexpr size_t kChunkHeadSize = 7;
constexpr uint8_t kFull = 1;
constexpr uint8_t kFirst = 2;
constexpr uint8_t kMiddle = 3;
constexpr uint8_t kLast = 4;
constexpr std::string_view kHeader{":W&B\xe1\xbe\x00", 7};

}  // namespace

void WandbLog::append_chunk(uint8_t type, std::string_view bytes, std::string& out) {
  uLong crc = ::crc32(0, &type, 1);
  crc = ::crc32(crc, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size()));
  append_little_endian(out, static_cast<uint32_t>(crc));
  append_little_endian(out, static_cast<uint16_t>(bytes.size()));
  append_little_endian(out, type);
  out += bytes;
  offset_ += kChunkHeadSize + bytes.size();
}

void WandbLog::append(std::string_view record, std::string& out) {
  if (offset_ == 0) {
    out += kHeader;
    offset_ = kHeader.size();
  }
  bool is_first = true;
  bool is_last = false;
  while (!is_last) {
    size_t room = kBlockSize - offset_ % kBlockSize;
    if (room < kChunkHeadSize) {
      out.append(room, '\0');
      offset_ += room;
      room = kBlockSize;
    }
    const size_t size = std::min(room - kChunkHeadSize, record.size());
    is_last = size == record.size();
    append_chunk(is_first ? (is_last ? kFull : kFirst) : (is_last ? kLast : kMiddle),
                 record.substr(0, size), out);
    record.remove_prefix(size);
    is_first = false;
  }
}

}  // namespace ringlog::formats
