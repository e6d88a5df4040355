#pragma once
// The service's log: two rotating files in the runtime directory.
//
// A logger of its own and not spdlog's default one, which belongs to the program that the service
// may be running in.  log() is for any thread; open_log() and close_log() are for the thread that
// owns the service, before its other threads exist and after they have ended.

#include <spdlog/logger.h>

#include <string>

namespace ringlog::service {

// Says nothing before open_log() and after close_log().
spdlog::logger& log();

// Writes to `path` from now on and to standard error where asked.  A file that cannot be written
// is done without: a full disk must not keep the service from saving rows.
void open_log(const std::string& path, bool is_on_stderr);
// Closes its file.
void close_log();

}  // namespace ringlog::service
