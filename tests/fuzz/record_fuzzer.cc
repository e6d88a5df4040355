// One record as it stands in a ring, read by the full reader and as a template row.
//
// A record that reads is the same after it was written anew; a row that looks like a template's is
// the row that Cap'n Proto sees, and is written back with the same bytes.

#include <capnp/any.h>

#include <optional>
#include <vector>

#include "record/message.h"
#include "record/row_template.h"
#include "schema/record.capnp.h"
#include "tests/fuzz/input.h"
#include "tests/record/record_reader.h"

namespace ringlog::fuzz {
namespace {

using Bytes = std::span<const std::byte>;

std::optional<uint64_t> sum_of(Bytes bytes) {
  record::RecordReader reader;
  const Status read = record::try_read([&] {
    record::MessageView view(bytes);
    reader.read(view.root<schema::Record>());
  });
  if (!read) require(read.error().code == Code::kCorrupt, "a foreign message is corrupt or read");
  return read ? std::optional(reader.sum()) : std::nullopt;
}

void check_record(Bytes bytes) {
  const auto sum = sum_of(bytes);
  if (!sum) return;
  record::Words again;
  const Status copied = record::try_read([&] {
    record::MessageView view(bytes);
    capnp::MallocMessageBuilder copy;
    copy.setRoot(view.root<schema::Record>());
    again = record::to_words(copy);
  });
  if (!copied) return;  // what shares its parts is larger once they are written one by one
  // A copy without what nobody reached has fewer words, and lists of nothing are limited by those.
  const auto same = sum_of(record::as_bytes(again));
  require(!same || same == sum, "a copied record says the same");
}

void check_row(Bytes bytes) {
  if (bytes.size() < record::kRowPrefixSize) return;
  const size_t key_count = (bytes.size() - record::kRowPrefixSize) / 8;
  const auto row = record::read_row_fast(bytes, key_count);
  if (!row) return;
  const Status read = record::try_read([&] {
    record::MessageView view(bytes);
    const auto slow = view.root<schema::Row>();
    require(slow.getStep() == row->step, "both readers see the same step");
    require(slow.getTimeNs() == row->time_ns, "both readers see the same time");
    const auto bits = slow.getBits();
    require(bits.size() == key_count, "both readers see the same number of values");
    for (uint32_t i = 0; i < key_count; ++i) {
      const uint64_t value = bits[i];
      require(std::memcmp(row->bits + size_t{i} * 8, &value, 8) == 0, "the same values");
    }
  });
  require(static_cast<bool>(read), "what the fast reader takes, the full reader reads");
  const record::RowTemplate shape{64, key_count};
  std::vector<uint64_t> values(key_count + 1);
  std::memcpy(values.data(), row->bits, key_count * 8);
  std::vector<uint64_t> words(shape.bytes / 8);
  auto* const record = reinterpret_cast<std::byte*>(words.data());
  record::write_row(record, shape, 1, row->step, row->time_ns, values.data());
  require(std::memcmp(record + sizeof(shm::RecordHeader), bytes.data(), bytes.size()) == 0,
          "a row is written back with the same bytes");
}

}  // namespace
}  // namespace ringlog::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, std::min<size_t>(size, 64 * 1024)));
  ringlog::fuzz::check_record(bytes);
  ringlog::fuzz::check_row(bytes);
  return 0;
}
