#pragma once
// FileFacts: a file that belongs to a run, as a record of it says.
//
// Plain values and a plain function.

#include <ringlog/run.h>

#include <cstdint>
#include <string>

#include "schema/record.capnp.h"

namespace ringlog::record {

// Same numbers as schema File.State.
enum class FileState : uint8_t { kAsked = 0, kKept = 1, kFailed = 2 };

struct FileFacts {
  std::string name{};    // relative to the run's files/ folder
  std::string source{};  // absolute path
  SavePolicy policy = SavePolicy::kNow;
  FileState state = FileState::kAsked;
  uint64_t size = 0;      // bytes of the copy
  std::string problem{};  // a sentence; empty: all is well
  bool is_final = false;  // nothing more will be copied
  bool operator==(const FileFacts&) const = default;
};

// Throws kj::Exception when the message is malformed.
FileFacts read_file(schema::File::Reader in);

}  // namespace ringlog::record
