#pragma once
// What the library says on the program's standard error.
//
// Any thread, and in a signal handler.  A stream that is closed, full or read by nobody is nobody's
// error: above all it must not end the program that logs, as SIGPIPE would.

#include <string_view>

namespace ringlog::client {

// "ringlog: TEXT" and the end of the line, in one write, so that the lines of many ranks do not
// mix.
void say_on_stderr(std::string_view text) noexcept;

}  // namespace ringlog::client
