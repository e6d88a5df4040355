#pragma once
// Everything a process writes into a ring besides template rows, as finished messages.
//
// Each function allocates; none is on the hot path.  Input is checked first by check_items().  Safe
// from any thread.

#include "record/file_facts.h"
#include "record/message.h"
#include "record/process_facts.h"

#include <ringlog/run.h>
#include <ringlog/settings.h>
#include <ringlog/value.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "schema/record.capnp.h"

namespace ringlog::record {

// What can be logged:
//   kInvalidArgument  an empty key, a key or text that is not UTF-8 (says at which byte, and shows
//                     the key with what is wrong escaped), nesting deeper than kValueDepthMax
//   kTooLarge         more than kRowKeysMax keys or a key above kKeySizeMax bytes
Status check_items(std::span<const Item> items);
Status check_key(std::string_view key);

struct ColumnSpec {
  std::string path;
  schema::ColumnType type;
};
Words encode_key_set(uint16_t kind, std::span<const ColumnSpec> columns, int64_t time_ns);
Words encode_free_row(uint64_t step, int64_t time_ns, std::span<const Item> items);
Words encode_config(std::span<const Item> items, int64_t time_ns);
Words encode_summary(std::span<const Item> items, int64_t time_ns);
Words encode_metric(std::string_view name, const MetricOptions& options, int64_t time_ns);
Words encode_alert(std::string_view title, std::string_view text, AlertLevel level,
                   int64_t time_ns);
Words encode_console(std::string_view bytes, bool is_stderr, int64_t time_ns);
Words encode_file(const FileFacts& file, int64_t time_ns);
Words encode_process(const ProcessFacts& facts, int64_t time_ns);
// `is_implied`: the program did not say so; what the process exits with counts more.
// `signal`: what ended a program on whose behalf this is said; 0: it ended by itself.
Words encode_finish(int32_t exit_code, bool is_implied, int64_t time_ns, uint8_t signal = 0);
Words encode_blob(uint64_t id, uint64_t size, int64_t time_ns);

enum class RequestKind { kFlush, kFinish, kSummary, kRunInfo, kFooter };
struct RequestSpec {
  RequestKind kind;
  Durability durability = Durability::kStored;  // of kFlush
  uint32_t slot = 0;
  uint32_t word = 0;
};
Words encode_request(const RequestSpec& request, int64_t time_ns);

}  // namespace ringlog::record
