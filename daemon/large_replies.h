#pragma once
// Replies that do not fit a mailbox slot, until the client fetches them over the control socket.
//
// Thread safe: put by the drain, store and network threads, taken by the control thread.  Bounded
// by kLargeRepliesBytesMax; the oldest are dropped first, and a client that comes too late is told
// so.

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>

namespace ringlog::service {

class LargeReplies {
 public:
  // `uuid` of the segment; `word` of the slot, of which only the generation counts.
  void put(const std::string& uuid, uint32_t slot, uint32_t word, std::string bytes);
  std::optional<std::string> take(const std::string& uuid, uint32_t slot, uint32_t word);
  // The producer is gone: nobody will fetch.
  void forget(const std::string& uuid);

 private:
  struct Entry {
    std::string uuid;
    uint32_t slot;
    uint32_t generation;
    std::string bytes;
  };
  std::mutex mutex_;
  // Guarded by mutex_.
  std::list<Entry> entries_;  // oldest first
  size_t bytes_ = 0;
};

}  // namespace ringlog::service
