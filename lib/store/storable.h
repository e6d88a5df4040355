#pragma once
// What of a commit can be stored at all.
//
// Plain functions; safe from any thread.  The store asks them before it writes, and the fuzzers of
// what is handed to it.

#include "store/model.h"

#include <ringlog/result.h>

#include <string>

namespace ringlog::store {

// The packed StoredRecord that stands on disk: a copy of all that the record points to, whoever
// reads it.
//   kInvalidArgument  above kValueBytesMax, or a pointer in it leads nowhere
Result<std::string> stored_record(const RecordEntry& entry);

// kInvalidArgument: the rows have not the shape of the key set, or sequence numbers do not rise.
Status check_block(const RowBlock& block, const KeySet& keys);

}  // namespace ringlog::store
