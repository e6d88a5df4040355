#pragma once
// Finding runs under a root folder: `<root>/<project>/<run_id>/store`.
//
// Looks at folders and file times only; opens no store.  Safe from any thread.

#include <ringlog/result.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ringlog::store {

struct RunPlace {
  std::string dir;
  std::string project;
  std::string run_id;
  int64_t mtime_ns = 0;  // when its store was last written: nanoseconds since the Unix epoch
};

// All runs under `root`, newest first.  A root that does not exist has none.
//   kIo, kPermission  it exists and cannot be read
Result<std::vector<RunPlace>> find_runs(const std::string& root);

// The run that `name` means: a directory, `latest`, a run id, or the beginning of exactly one id.
//   kNotFound         nothing matches; the message names the root and the nearest candidates
//   kInvalidArgument  several match; the message lists them
//   kIo, kPermission  as find_runs
Result<RunPlace> resolve_run(const std::string& root, std::string_view name);

}  // namespace ringlog::store
