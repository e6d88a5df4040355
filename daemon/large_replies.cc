#include "daemon/large_replies.h"

#include "daemon/limits.h"
#include "shm/mailbox.h"

#include <algorithm>

namespace ringlog::service {

void LargeReplies::put(const std::string& uuid, uint32_t slot, uint32_t word, std::string bytes) {
  const std::lock_guard lock(mutex_);
  const auto before = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.slot == slot && entry.uuid == uuid;
  });
  if (before != entries_.end()) erase(before);
  bytes_ += bytes.size();
  while (bytes_ > kLargeRepliesBytesMax && !entries_.empty()) {
    const auto fetched = std::find_if(entries_.begin(), entries_.end(),
                                      [](const Entry& entry) { return entry.is_fetched; });
    erase(fetched != entries_.end() ? fetched : entries_.begin());
  }
  entries_.push_back({uuid, slot, shm::slot_generation(word), std::move(bytes)});
}

LargeReplies::Entries::iterator LargeReplies::find(const std::string& uuid, uint32_t slot,
                                                   uint32_t word) {
  return std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.slot == slot && entry.generation == shm::slot_generation(word) &&
           entry.uuid == uuid;
  });
}

void LargeReplies::erase(Entries::iterator entry) {
  bytes_ -= entry->bytes.size();
  entries_.erase(entry);
}

std::optional<std::string> LargeReplies::fetch(const std::string& uuid, uint32_t slot,
                                               uint32_t word) {
  const std::lock_guard lock(mutex_);
  const auto found = find(uuid, slot, word);
  if (found == entries_.end()) return std::nullopt;
  found->is_fetched = true;
  return found->bytes;
}

void LargeReplies::drop(const std::string& uuid, uint32_t slot, uint32_t word) {
  const std::lock_guard lock(mutex_);
  if (const auto found = find(uuid, slot, word); found != entries_.end()) erase(found);
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
