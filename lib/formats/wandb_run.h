#pragma once
// What a run is called and came to in W&B, whether it is exported or sent.
//
// Plain values and functions of them; safe from any thread.

#include <ringlog/result.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "record/process_facts.h"
#include "store/model.h"
#include "store/processes.h"
#include "store/tree.h"

namespace ringlog::formats {

// One run in W&B.
struct WandbRun {
  std::string id{};  // of wandb_id()
  std::string project{};
  std::string name{};
  std::string group{};
  std::string job_type{};
  std::string notes{};
  std::vector<std::string> tags{};
  std::string host{};
  std::vector<std::string> command{};
  int64_t started_ns = 0;
  store::Tree config{};  // an object
  record::ProcessFacts process{};
};

// A run id and a project as W&B allows them: what it refuses becomes "-".
std::string wandb_id(std::string_view id);
std::string wandb_project(std::string_view project);

// Everything of a run but rows and records.
struct WandbFacts {
  store::RunMeta meta{};
  std::vector<store::ProducerState> producers{};  // by rank, attempt and worker
  store::Tree config{};
  std::vector<store::ProcessEntry> processes{};

  // The run, or one rank of it.
  WandbRun run(std::optional<int32_t> rank) const;
  bool is_running(std::optional<int32_t> rank) const;
  // The code a shell would show, of the first rank that did not end well.
  int32_t exit_code(std::optional<int32_t> rank) const;
  // The end of a run whose last row came at `last_ns`.
  int64_t ended_ns(int64_t last_ns) const;
};
// All but the description, which need not be there yet.  Errors as the reader.
Result<WandbFacts> read_wandb_facts(store::RunReader& reader, store::RunMeta meta);
// The processes alone, which costs little.
Result<std::vector<store::ProducerState>> read_wandb_producers(store::RunReader& reader);

// What W&B shows of a process apart from its own fields.
std::string image_of(const record::ProcessFacts& process);         // of its container
record::NamedTexts slurm_of(const record::ProcessFacts& process);  // without the prefix, lower case

}  // namespace ringlog::formats
