#include "daemon/large_replies.h"

#include "daemon/limits.h"
#include "shm/mailbox.h"

#include <algorithm>

namespace ringlog::service {

void LargeReplies::put(const std::string& uuid, uint32_t slot, uint32_t word, std::string bytes) {
  const std::lock_guard lock(mutex_);
  bytes_ += bytes.size();
  entries_.push_back({uuid, slot, shm::slot_generation(word), std::move(bytes)});
  while (bytes_ > kLargeRepliesBytesMax && entries_.size() > 1) {
    bytes_ -= entries_.front().bytes.size();
    entries_.pop_front();
  }
}

std::optional<std::string> LargeReplies::take(const std::string& uuid, uint32_t slot,
                                              uint32_t word) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.slot == slot && entry.generation == shm::slot_generation(word) &&
           entry.uuid == uuid;
  });
  if (found == entries_.end()) return std::nullopt;
  std::string bytes = std::move(found->bytes);
  bytes_ -= bytes.size();
  entries_.erase(found);
  return bytes;
}

void LargeReplies::forget(const std::string& uuid) {
  const std::lock_guard lock(mutex_);
  entries_.remove_if([&](const Entry& entry) {
    if (entry.uuid != uuid) return false;
    bytes_ -= entry.bytes.size();
    return true;
  });
}

}  // namespace ringlog::service
