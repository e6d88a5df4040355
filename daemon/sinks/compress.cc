#include "daemon/sinks/compress.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <cstdint>
#include <new>
#include <vector>

namespace ringlog::service {

std::string gzip(std::string_view bytes) {
  // Stored blocks are the worst that can come out: 5 bytes for each 64 KiB, and the frame.
  std::string out(bytes.size() + bytes.size() / 1024 + 256, '\0');
  std::vector<uint8_t> level_memory(ISAL_DEF_LVL1_DEFAULT);
  isal_zstream stream;
  isal_deflate_stateless_init(&stream);
  stream.gzip_flag = IGZIP_GZIP;
  stream.end_of_stream = 1;
  stream.flush = NO_FLUSH;
  stream.level = 1;
  stream.level_buf = level_memory.data();
  stream.level_buf_size = static_cast<uint32_t>(level_memory.size());
  // The library does not write through its input pointer.
  stream.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uint32_t>(bytes.size());
  stream.next_out = reinterpret_cast<uint8_t*>(out.data());
  stream.avail_out = static_cast<uint32_t>(out.size());
  if (isal_deflate_stateless(&stream) != COMP_OK) throw std::bad_alloc();
  out.resize(stream.total_out);
  return out;
}

std::string zstd(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 1);
  if (ZSTD_isError(size) != 0U) throw std::bad_alloc();
  out.resize(size);
  return out;
}

}  // namespace ringlog::service
