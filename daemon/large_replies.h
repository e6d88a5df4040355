#pragma once
// Replies that do not fit a mailbox slot, for the client to fetch over the control socket.
//
// Whether a reply that was fetched also arrived is not known: it stays, to be fetched again, until
// its slot has another one.
//
// Thread safe: put by the drain, store and network threads, fetched by the control thread.  Bounded
// by kLargeRepliesBytesMax; those that were fetched are dropped first, then the oldest, and a
// client that comes too late is told so.

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
  std::optional<std::string> fetch(const std::string& uuid, uint32_t slot, uint32_t word);
  // Nobody will fetch this one…
  void drop(const std::string& uuid, uint32_t slot, uint32_t word);
  // …or any of this producer, which is gone.
  void forget(const std::string& uuid);

 private:
  struct Entry {
    std::string uuid;
    uint32_t slot;
    uint32_t generation;
    std::string bytes;
    bool is_fetched = false;
  };
  using Entries = std::list<Entry>;
  Entries::iterator find(const std::string& uuid, uint32_t slot, uint32_t word);
  void erase(Entries::iterator entry);
  std::mutex mutex_;
  // Guarded by mutex_.
  Entries entries_;  // oldest first, at most one of a slot
  size_t bytes_ = 0;
};

}  // namespace ringlog::service
