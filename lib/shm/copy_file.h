#pragma once
// Copying a file into a folder: whole or not at all, and without its bytes in memory.
//
// The copy shares the source's blocks where the file system can do that (a reflink), else the
// kernel copies.  It is written beside its place and renamed.  Blocks as long as the disks take.
// Plain functions; safe from any thread.

#include <ringlog/result.h>

#include <cstdint>
#include <functional>
#include <string>

namespace ringlog::shm {

// What tells one state of a file from the next.
struct FileStamp {
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  uint64_t inode = 0;
  bool operator==(const FileStamp&) const = default;
};

// Of a file, or the one that a link leads to.
//   kInvalidArgument  it is no regular file
//   kNotFound, kPermission, kIo
Result<FileStamp> stamp_of(const std::string& path);

struct CopySpec {
  std::string source{};
  std::string folder{};  // must exist
  std::string name{};    // below it, with folders of its own if need be
  std::string draft{};   // file name of the unfinished copy; nobody else uses it at the same time
  bool is_synced = false;
  // Called with the bytes copied since the last call; false: give up.
  std::function<bool(uint64_t)> on_bytes = [](uint64_t) { return true; };
};

struct CopiedFile {
  FileStamp stamp;           // of the source when it was read
  bool has_changed = false;  // while it was read, each time: the copy may be of several states
};

// Replaces `folder`/`name`.  A source that is that file already is left alone.  A source that
// changes while it is read is read again, at most three times.
//   kInvalidArgument  the source is no regular file, or the name leads out of the folder
//   kTimeout          `on_bytes` gave up
//   kNotFound, kPermission, kIo  the message names the file
Result<CopiedFile> copy_file(const CopySpec& spec);

}  // namespace ringlog::shm
