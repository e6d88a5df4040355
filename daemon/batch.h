#pragma once
// Batch: what is stored together, and what follows once it is.
//
// Filled by the drain thread, then handed to the store thread, then handed back; one thread owns it
// at any time.

#include "record/file_facts.h"
#include "shm/mailbox.h"
#include "store/model.h"

#include <ringlog/settings.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace ringlog::service {

struct Port;

enum class RequestKind : uint8_t { kFlush, kFinish, kSummary, kRunInfo, kFooter };

// A request as it stood in a ring.
struct Request {
  uint32_t slot_untrusted = 0;
  uint32_t word_untrusted = 0;
  RequestKind kind = RequestKind::kFlush;
  Durability level = Durability::kStored;  // of kFlush
};

// A request whose answer is due when the batch is stored.
struct Answer {
  std::shared_ptr<Port> port;
  Request request;
};

// How far a batch brings one producer.
struct Progress {
  std::shared_ptr<Port> port;
  std::vector<std::pair<uint32_t, uint64_t>> positions;  // ring, everything before it is in here
  uint64_t attempted = 0;                                // rows of all rings, as in the answers
  uint64_t stored = 0;
  uint64_t dropped = 0;
  store::Cursors ends;     // by lane, behind its last row that is in here or was stored before
  bool is_settle = false;  // its final state is here for the first time
  bool is_last = false;    // the segment is not needed any more
};

// A file that a process asked the service to keep.
struct FileAsk {
  uint32_t producer = 0;
  record::FileFacts facts;
};

// Rows that the handler took and the store refused.
struct StrippedRows {
  store::LaneId lane;
  uint64_t rows = 0;
};

struct Batch {
  store::Commit commit;
  std::vector<FileAsk> files;  // whose records are in here
  std::vector<Progress> progress;
  std::vector<Answer> answers;
  std::vector<StrippedRows> stripped;  // taken out again by the store thread
  size_t bytes = 0;                    // of rows, records and samples, roughly
  uint64_t serial = 0;                 // distinguishes batches of one stream
  int64_t started_ms = 0;              // when the first thing came in; 0: nothing yet
  bool is_urgent = false;              // somebody waits for it
  bool is_synced = false;              // to be written with fsync
};

}  // namespace ringlog::service
