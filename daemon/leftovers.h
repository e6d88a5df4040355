#pragma once
// Leftovers: what a program with a service inside left behind when it was killed.
//
// Its rows stand in segments of its own runtime directory, where nobody will ever look again but
// the next service of the user, wherever that one lives.
//
// Plain function; the control thread.

#include "daemon/recovery.h"
#include "daemon/runtime_dir.h"

#include <vector>

namespace ringlog::service {

// Moves the segments of every in-process directory that nobody lives in and no running process logs
// into to `place`, and removes the directory.  What cannot be moved stays and is logged.
FoundSegments take_over_leftovers(const RuntimeDir& place);

}  // namespace ringlog::service
