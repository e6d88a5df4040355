#pragma once
// Where a user's service lives on this machine.

#include <ringlog/result.h>

#include <string>
#include <vector>

namespace ringlog::client {

// $RINGLOG_RUNTIME_DIR, else $XDG_RUNTIME_DIR/ringlog, else /dev/shm/ringlog-<uid>, else
// /tmp/ringlog-<uid> where there is no /dev/shm.  Absolute; nothing is created.
std::string runtime_dir();

// That one, and those of services inside programs: where a run that somebody logs to may be open.
std::vector<std::string> runtime_dirs();

// The socket's path as connect() takes it: the plain path when it fits a socket address, else one
// through /proc/self/fd/<dir_fd>.  `dir_fd` is an open descriptor of the directory.
std::string socket_path(const std::string& directory, int dir_fd);

}  // namespace ringlog::client
