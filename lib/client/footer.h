#pragma once
// The footer of a run on the terminal: a line a metric, with its curve.
//
// Plain function; safe from any thread.

#include <string>

namespace ringlog::client {

// Lines of a service's answer to the request `footer`, each after two spaces and with its line end:
// name, curve, last value.  Curves only where `has_unicode`.  Empty: there is nothing to show.
std::string footer_text(const std::string& reply, bool has_unicode);

// The locale of the environment is one of UTF-8.
bool is_utf8_locale();

}  // namespace ringlog::client
