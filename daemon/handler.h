#pragma once
// Handler: what records mean.
//
// Takes the records of all rings of one run, in any interleaving of the rings, and adds what they
// say to the batch: rows to blocks, everything else as it was written.  Knows the run's key sets.
// Nothing in a record is trusted: the payload is a private copy, but a user process wrote it.
//
// Plain object of the drain thread, without clock, segment or socket.  Blocks only for blobs, which
// are read from the store.

#include "daemon/batch.h"
#include "daemon/key_set_table.h"
#include "daemon/process_watch.h"
#include "record/row_template.h"
#include "shm/ring_reader.h"
#include "store/model.h"

#include <ringlog/result.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "schema/record.capnp.h"

namespace ringlog::service {

// Of kinds for which the run had no more columns, also in the store: their rows are refused one by
// one, which harms no other row of the ring.
inline constexpr uint32_t kRefusedKeySet = UINT32_MAX;

// One ring as the handler knows it.
struct Lane {
  // A kind of the ring and where its rows go.
  struct Kind {
    uint32_t key_set = 0;  // 0: not registered; kRefusedKeySet
    uint32_t key_count = 0;
    uint64_t serial = 0;  // of the batch that `block` belongs to
    size_t block = 0;     // index in its commit
  };
  // One block per key set and batch, whatever kinds and free rows lead to it, so that sequence
  // numbers rise within it.
  struct Blocks {
    uint64_t serial = 0;
    std::unordered_map<uint32_t, size_t> by_key_set{};
  };
  uint32_t producer = 0;
  uint16_t ring = 0;
  uint64_t next_seq = 0;    // attempts up to here
  uint64_t stored = 0;      // rows in batches
  uint64_t stored_end = 0;  // behind the last of them: attempts between it and next_seq were lost
  uint64_t refused = 0;     // records that could not be kept, rows and others
  std::vector<Kind> kinds;  // by kind - kKindRowFirst
  Blocks blocks;
};

// What a producer said besides data.
struct ProducerNotes {
  uint64_t next_step = 0;
  std::optional<ExitInfo> finish{};
  bool is_finish_implied = false;
  std::vector<Request> requests{};  // taken away by the caller
  bool has_files = false;           // that are copied after its end
};

class Handler {
 public:
  using FetchBlob = std::function<Result<std::string>(store::BlobId)>;

  Handler(std::vector<store::KeySet> stored, FetchBlob fetch_blob);

  // Handles the next record of a lane.
  //   kCorrupt             the ring breaks its own rules; it must not be read on
  //   kInvalidArgument, kTooLarge, kNotFound
  //                        this record cannot be kept; the lane goes on behind it
  //   kIo                  its bytes cannot be read from the store now: nothing was changed, and it
  //                        is to be handled again later
  Status handle(Lane& lane, const shm::RecordView& record, ProducerNotes& notes, Batch& batch);

  // Registers a kind of a ring again, after a restart.  kCorrupt: no such key set.
  Status restore_kind(Lane& lane, uint16_t kind, uint32_t key_set);

  // Key sets that come anew have ids above `last`: rows name it, though it may be lost.
  void reserve_key_sets(uint32_t last) { keys_.reserve(last); }

  // nullptr: no such key set.
  const store::KeySet* find_keys(uint32_t key_set) const { return keys_.find(key_set); }

 private:
  Status take_seq(Lane& lane, const shm::RecordHeader& header) const;
  Status handle_row(Lane& lane, const shm::RecordView& record, ProducerNotes& notes, Batch& batch);
  Status handle_record(Lane& lane, const shm::RecordView& record, ProducerNotes& notes,
                       Batch& batch);
  Status dispatch(Lane& lane, const shm::RecordView& record, schema::Record::Reader reader,
                  ProducerNotes& notes, Batch& batch);
  Status register_keys(Lane& lane, schema::KeySet::Reader keys, Batch& batch);
  Status add_free_row(Lane& lane, uint64_t seq, schema::FreeRow::Reader row, ProducerNotes& notes,
                      Batch& batch);
  Status expand_blob(Lane& lane, const shm::RecordView& record, schema::Blob::Reader blob,
                     ProducerNotes& notes, Batch& batch);
  store::RowBlock& block_of(Lane& lane, Lane::Kind& kind, Batch& batch);
  size_t block_index(Lane& lane, uint32_t key_set, Batch& batch);

  KeySetTable keys_;
  FetchBlob fetch_blob_;
};

}  // namespace ringlog::service
