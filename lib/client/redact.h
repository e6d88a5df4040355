#pragma once
// Redaction: what must not be kept with a run, because people share runs.
//
// Plain functions; safe from any thread.  They know names and shapes, not secrets: a password that
// is a plain argument without a name is not found.

#include <string>
#include <string_view>
#include <vector>

namespace ringlog::client {

// Whether a variable or an option of this name may hold a secret: one of its words is KEY, TOKEN,
// PASS…, or it has SECRET, PASSWORD… in it, whatever its letters' case.
bool is_secret_name(std::string_view name);

// The text with "user:password@" taken out of every URL in it, and with the values of names that
// may hold a secret hidden: "?api_key=x", "Authorization: Bearer x", "\"token\": \"x\"".
std::string without_credentials(std::string_view text);

// A command line: `--api-key=x` and `--api-key x` lose their value, its words what
// without_credentials() takes.
std::vector<std::string> without_secrets(std::vector<std::string> words);

// As UTF-8 for the store: every byte that is not part of it becomes "?", and what is beyond
// `size_max` bytes is left out.
std::string as_utf8(std::string_view bytes, size_t size_max);

}  // namespace ringlog::client
