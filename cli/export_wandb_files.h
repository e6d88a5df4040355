#pragma once
// The files/ folder of an exported W&B run: what the program saved, git's diff, the console.
//
// One thread.

#include <ringlog/result.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/reader.h"

namespace ringlog::cli {

struct ExportedFiles {
  std::vector<std::string> names;  // to be uploaded, below files/
  uint64_t missing = 0;            // kept once, and no longer in the run's folder
};

// Copies them into `folder`, which exists.  `rank`: only what is of it.  A name that W&B gives a
// file itself gets an underscore in front.
//   kIo, kPermission, …  the message names the file
Result<ExportedFiles> export_wandb_files(store::RunReader& reader, std::optional<int32_t> rank,
                                         const std::string& folder);

}  // namespace ringlog::cli
