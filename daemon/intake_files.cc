// Intake: files that the service keeps for a producer.

#include "daemon/intake.h"
#include "record/encode.h"

namespace ringlog::service {

void Intake::add_file(uint32_t producer, const record::FileFacts& file) {
  const record::Words words = record::encode_file(file, clock_.realtime_ns());
  start_batch();
  batch_->bytes += words.size() * 8;
  batch_->commit.records.push_back(
      {producer, 0, {reinterpret_cast<const char*>(words.data()), words.size() * 8}});
}

void Intake::release_files(uint32_t producer) {
  for (const auto& port : ports_) {
    if (port->producer != producer || !port->notes.has_files) continue;
    port->notes.has_files = false;
    port->is_dirty = true;
    touch();
  }
}

}  // namespace ringlog::service
