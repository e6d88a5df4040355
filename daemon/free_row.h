#pragma once
// Rows that are not only numbers, as typed columns.
//
// Plain functions; safe from any thread.  They read foreign messages and throw kj::Exception where
// those are malformed; the Handler catches.

#include "store/model.h"

#include <ringlog/result.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "schema/record.capnp.h"

namespace ringlog::service {

// The text where it stands; valid as long as the message.
inline std::string_view view(capnp::Text::Reader text) { return {text.begin(), text.size()}; }

struct FlatRow {
  std::vector<store::Column> columns;
  std::vector<uint64_t> numbers;    // of the number columns, in their order
  std::vector<std::string> others;  // serialised Values of the other columns, in their order
  size_t bytes() const;
};

// Nested objects become paths, numbers typed cells, anything else a serialised Value.  Of a key
// that occurs twice the last value counts.
//   kInvalidArgument  a key that is empty or not UTF-8, text that is not UTF-8, too deep
//   kTooLarge         too many keys, a key or value above its limit
Result<FlatRow> flatten(schema::FreeRow::Reader row);

// Checks keys and texts of fields that are kept as they are.  Errors as flatten().
Status check_fields(capnp::List<schema::Field>::Reader fields);
Status check_text(std::string_view text, const char* what);

}  // namespace ringlog::service
