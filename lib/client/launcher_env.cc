#include "client/launcher_env.h"

#include "shm/posix.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace ringlog::client {

namespace {

std::string_view variable(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? std::string_view() : std::string_view(text);
}

std::optional<int32_t> number(const char* name) {
  const std::string_view text = variable(name);
  int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value < 0) {
    return std::nullopt;
  }
  return value;
}

// Eight letters and digits from any text: the same on every rank.
std::string short_id(std::string_view text) {
  // FNV-1a: not for secrets, only to be short and equal everywhere.
  uint64_t hash = 14695981039346656037ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::string id;
  for (int i = 0; i < 8; ++i, hash /= kLetters.size()) id += kLetters[hash % kLetters.size()];
  return id;
}

// Letters, digits, dash, dot and underscore are legal in a run id; the rest becomes a dash.
std::string as_id(std::string_view text) {
  std::string id;
  for (const char c : text.substr(0, 100)) {
    const bool is_legal = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    id += is_legal ? c : '-';
  }
  // The id becomes a folder's name.
  return id.find_first_not_of('.') == std::string::npos ? short_id(text) : id;
}

// torchrun's id is the word `none` unless somebody set it.  Then the launcher process, its start
// time and the rendezvous address name the job; a restart of the workers keeps all three.
std::string torchrun_key() {
  const std::string_view id = variable("TORCHELASTIC_RUN_ID");
  if (!id.empty() && id != "none") return as_id(id);
  auto start = shm::process_start_time(::getppid());
  return short_id(std::to_string(::getppid()) + "/" + std::to_string(start ? *start : 0) + "/" +
                  std::string(variable("MASTER_ADDR")) + ":" +
                  std::string(variable("MASTER_PORT")));
}

LauncherInfo torchrun() {
  LauncherInfo info;
  info.rank = number("RANK");
  info.local_rank = number("LOCAL_RANK");
  info.world_size = number("WORLD_SIZE");
  info.attempt = number("TORCHELASTIC_RESTART_COUNT");
  info.source = "torchrun";
  // RANK alone may be set by hand; without anything to agree on there is no common id.
  const bool has_key = !variable("TORCHELASTIC_RUN_ID").empty() || !variable("MASTER_PORT").empty();
  if (has_key) info.run_id = torchrun_key();
  return info;
}

LauncherInfo slurm() {
  LauncherInfo info;
  info.rank = number("SLURM_PROCID");
  info.local_rank = number("SLURM_LOCALID");
  info.world_size = number("SLURM_NTASKS");
  info.attempt = number("SLURM_RESTART_COUNT");
  info.source = "slurm";
  if (const auto job = variable("SLURM_JOB_ID"); !job.empty()) {
    info.run_id = "slurm-" + as_id(job);
    if (const auto step = variable("SLURM_STEP_ID"); !step.empty())
      info.run_id += "-" + as_id(step);
  }
  return info;
}

LauncherInfo openmpi() {
  LauncherInfo info;
  info.rank = number("OMPI_COMM_WORLD_RANK");
  info.local_rank = number("OMPI_COMM_WORLD_LOCAL_RANK");
  info.world_size = number("OMPI_COMM_WORLD_SIZE");
  info.source = "openmpi";
  for (const char* name : {"PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "OMPI_MCA_orte_hnp_uri"}) {
    if (const auto job = variable(name); !job.empty()) {
      info.run_id = short_id(job);
      break;
    }
  }
  return info;
}

LauncherInfo pmi() {
  LauncherInfo info;
  info.rank = number("PMI_RANK");
  info.local_rank = number("MPI_LOCALRANKID");
  info.world_size = number("PMI_SIZE");
  info.source = "pmi";
  // One proxy per machine starts all its ranks, so what it gave them names the job there.
  for (const char* name : {"PMI_JOBID", "PMI_PORT"}) {
    if (const auto job = variable(name); !job.empty()) {
      info.run_id = short_id(job);
      break;
    }
  }
  return info;
}

}  // namespace

LauncherInfo read_launcher() {
  // torchrun under Slurm sets both; the inner launcher knows better.
  if (number("RANK")) return torchrun();
  if (number("OMPI_COMM_WORLD_RANK")) return openmpi();
  if (number("PMI_RANK")) return pmi();
  // Slurm sets SLURM_PROCID in the batch script too; only a task of several is a rank.
  if (number("SLURM_PROCID") && number("SLURM_STEP_ID")) return slurm();
  return {};
}

}  // namespace ringlog::client
