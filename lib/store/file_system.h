#pragma once
// Which file system a folder is on, as far as it matters to who writes there.  Internal to
// lib/store, and for `ringlog doctor`.
//
// A plain function; any thread.

#include <string>

namespace ringlog::store {

struct FileSystem {
  std::string type;  // "ext4", "nfs", …; of one that is not known its number, in hexadecimal
  // Other machines may have it too, or it can be mounted twice here, so that its locks need not
  // reach everybody who can write to it.  True of what is on a network or in user space; some of
  // these do keep locks everywhere, but nobody can ask them.
  bool is_shared = false;
};

// Of an open file or folder.
FileSystem file_system_of(int fd);

}  // namespace ringlog::store
