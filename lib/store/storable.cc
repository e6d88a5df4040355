#include "store/storable.h"

#include <span>
#include <utility>

#include "record/message.h"
#include "schema/chunk.capnp.h"
#include "store/limits.h"
#include "store/packed.h"

namespace ringlog::store {

Result<std::string> stored_record(const RecordEntry& entry) {
  if (entry.message.size() > kValueBytesMax) {
    return Error{Code::kInvalidArgument,
                 "a record of " + std::to_string(entry.message.size()) + " bytes is too large"};
  }
  std::string bytes;
  Status read = record::try_read([&] {
    record::MessageView message(std::as_bytes(std::span(entry.message)));
    capnp::MallocMessageBuilder builder;
    auto out = builder.initRoot<schema::StoredRecord>();
    out.setProducer(entry.producer);
    out.setSeq(entry.seq);
    out.setRecord(message.root<schema::Record>());
    bytes = pack(builder);
  });
  if (!read) return Error{Code::kInvalidArgument, "record: " + read.error().message};
  return bytes;
}

Status check_block(const RowBlock& block, const KeySet& keys) {
  const size_t rows = block.rows();
  const bool fits = block.number_count == keys.number_count() &&
                    block.byte_count == keys.byte_count() && block.step.size() == rows &&
                    block.time_ns.size() == rows &&
                    block.cells.size() == rows * block.number_count &&
                    block.byte_ends.size() == rows * block.byte_count;
  if (!fits) {
    return Error{Code::kInvalidArgument,
                 "rows do not have the shape of key set " + std::to_string(keys.id)};
  }
  for (size_t i = 1; i < rows; ++i) {
    if (block.seq[i] <= block.seq[i - 1]) {
      return Error{Code::kInvalidArgument,
                   "sequence number " + std::to_string(block.seq[i]) + " does not rise"};
    }
  }
  return Done{};
}

}  // namespace ringlog::store
