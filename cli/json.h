#pragma once
// Documents of `--json`: nlohmann's values, written by the same rules as exported rows.
//
// nlohmann's own writer turns NaN into null and throws on text that is not UTF-8; here NaN and the
// infinities are bare words, as in the export, and such bytes become U+FFFD.  Plain functions; safe
// from any thread.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "store/tree.h"

namespace ringlog::cli {

// Keys keep the order in which they were added.
using Json = nlohmann::ordered_json;

Json json_of(const store::Tree& tree);
// Nanoseconds since the epoch as seconds; null for 0, which stands for "not yet".
Json json_seconds(int64_t time_ns);
// The document over several lines, two spaces for each level, and a line end.
std::string json_text(const Json& document);
// The document on one line, and a line end.
std::string json_line(const Json& document);

}  // namespace ringlog::cli
