#include "shm/notice.h"

#include <algorithm>
#include <cstring>

namespace ringlog::shm {

void write_notice(NoticeWords& words, std::string_view text) {
  size_t size = std::min(text.size(), words.text.size() * 8);
  while (size < text.size() && size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80)
    --size;
  // Odd: a service was killed in the middle of one.  This one takes its place, under its serial.
  const uint32_t serial = words.serial.load(std::memory_order_relaxed) & ~1U;
  words.serial.store(serial + 1, std::memory_order_relaxed);
  // ORDER notice: whoever sees a word of the new text sees the odd serial.
  std::atomic_thread_fence(std::memory_order_release);
  for (size_t at = 0; at < size; at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + at, std::min<size_t>(8, size - at));
    words.text[at / 8].store(word, std::memory_order_relaxed);
  }
  words.size.store(static_cast<uint32_t>(size), std::memory_order_relaxed);
  // ORDER notice: publishes the text.
  words.serial.store(serial + 2, std::memory_order_release);
}

std::optional<size_t> read_notice(const NoticeWords& words, uint32_t& seen, NoticeText& text) {
  // ORDER notice: with the release store.
  const uint32_t serial = words.serial.load(std::memory_order_acquire);
  if (serial == seen || serial % 2 == 1) return std::nullopt;
  const size_t size =
      std::min<size_t>(words.size.load(std::memory_order_relaxed), words.text.size() * 8);
  for (size_t at = 0; at < size; at += 8) {
    const uint64_t word = words.text[at / 8].load(std::memory_order_relaxed);
    std::memcpy(text.data() + at, &word, std::min<size_t>(8, size - at));
  }
  // ORDER notice: the text was read before the serial is looked at again.
  std::atomic_thread_fence(std::memory_order_acquire);
  if (words.serial.load(std::memory_order_relaxed) != serial) return std::nullopt;
  seen = serial;
  return size;
}

std::optional<std::string> read_notice(const NoticeWords& words, uint32_t& seen) {
  NoticeText text;
  const auto size = read_notice(words, seen, text);
  if (!size) return std::nullopt;
  return std::string(text.data(), *size);
}

}  // namespace ringlog::shm
