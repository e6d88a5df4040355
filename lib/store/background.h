#pragma once
// LevelDB's background thread.
//
// LevelDB makes one thread per process for all databases, when the first of them wants it, and does
// not survive it when it cannot be made then.  Where threads have different descriptor tables,
// files that it opened must be ours too, though LevelDB may have another user in the process.

#include <ringlog/result.h>

namespace ringlog::store {

// Makes the thread, with the descriptors of the calling thread.  Call it before any store is
// opened. Waits kBackgroundWaitMs at most.
//   kIo  it cannot be made, it was made before by somebody with other descriptors, or it does not
//        exist any more
Status own_background_thread();

}  // namespace ringlog::store
