#pragma once
// What the launcher of a job says about this process: torchrun, Slurm, Open MPI, PMI.
//
// Reads the environment, and /proc for whoever started this process.  Not to be called while
// another thread changes the environment.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ringlog::client {

struct LauncherInfo {
  std::optional<int32_t> rank{};
  std::optional<int32_t> local_rank{};
  std::optional<int32_t> world_size{};
  std::optional<int32_t> attempt{};  // restarts of the job so far
  // A run id on which all ranks of the job agree without talking; empty: this is no job.
  std::string run_id{};
  std::string source{};  // which launcher: torchrun, slurm, openmpi, pmi; empty: none
  // Said by whoever joins the run as a later attempt, where that may be a mistake; empty: it is
  // none.
  std::string rejoined{};
  std::vector<std::string> notices{};  // numbers that cannot be used
};

LauncherInfo read_launcher();

}  // namespace ringlog::client
