#include "client/launcher_env.h"

#include "client/redact.h"
#include "shm/posix.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace ringlog::client {

namespace {

std::string_view variable(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? std::string_view() : std::string_view(text);
}

// A process id; 0: none.
int64_t number_of_pid(std::string_view text) {
  int64_t pid = 0;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  return pid;
}

// Ranks, sizes and attempts alike: what a setting of the kind may be.
constexpr int32_t kNumberMax = 1'000'000;

// One of the launcher's numbers; one that cannot be used counts as not set, which is said.
std::optional<int32_t> number(const char* name, LauncherInfo& info) {
  const std::string_view text = variable(name);
  if (text.empty()) return std::nullopt;
  int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value >= 0 &&
      value <= kNumberMax) {
    return value;
  }
  info.notices.push_back("the variable " + std::string(name) + " is \"" + as_utf8(text, 200) +
                         "\" and is ignored; allowed: a whole number from 0 to " +
                         std::to_string(kNumberMax));
  return std::nullopt;
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
  // Cut, two long ones could be the same; and the service takes names up to 128 bytes.
  constexpr size_t kIdMax = 100;
  if (text.size() > kIdMax) return short_id(text);
  std::string id;
  for (const char c : text) {
    const bool is_legal = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    id += is_legal ? c : '-';
  }
  // The id becomes a folder's name.
  return id.find_first_not_of('.') == std::string::npos ? short_id(text) : id;
}

// 0: nobody knows.
int32_t parent_of(int32_t pid) {
  auto text = shm::read_file("/proc/" + std::to_string(pid) + "/status", 4096);
  constexpr std::string_view kLine = "\nPPid:\t";
  const size_t at = text ? text->find(kLine) : std::string::npos;
  if (at == std::string::npos) return 0;
  return static_cast<int32_t>(number_of_pid(std::string_view(*text).substr(at + kLine.size())));
}

// The process that launched the job: the nearest one above us that was not started as this rank
// itself, as a script around each rank is.
int32_t launcher_pid() {
  constexpr int kScriptsMax = 16;
  const auto entry = [](const char* name) {
    std::string text(1, '\0');
    return text.append(name).append("=").append(variable(name)).append(1, '\0');
  };
  int32_t pid = ::getppid();
  for (int i = 0; i < kScriptsMax; ++i) {
    constexpr size_t kEnvironmentMax = size_t{4} << 20;
    const auto read = shm::read_file("/proc/" + std::to_string(pid) + "/environ", kEnvironmentMax);
    const std::string variables = read ? std::string(1, '\0') + *read : "";
    const bool is_script = variables.find(entry("RANK")) != std::string::npos &&
                           variables.find(entry("MASTER_PORT")) != std::string::npos;
    const int32_t above = is_script ? parent_of(pid) : 0;
    if (above <= 1) break;
    pid = above;
  }
  return pid;
}

// torchrun's id is the word `none` unless somebody set it.  Then the launcher process, its start
// time and the rendezvous address name the job; a restart of the workers keeps all three.
std::string torchrun_key() {
  const int32_t pid = launcher_pid();
  auto start = shm::process_start_time(pid);
  return short_id(std::to_string(pid) + "/" + std::to_string(start ? *start : 0) + "/" +
                  std::string(variable("MASTER_ADDR")) + ":" +
                  std::string(variable("MASTER_PORT")));
}

LauncherInfo torchrun(LauncherInfo info) {
  info.local_rank = number("LOCAL_RANK", info);
  info.world_size = number("WORLD_SIZE", info);
  info.attempt = number("TORCHELASTIC_RESTART_COUNT", info);
  info.source = "torchrun";
  const std::string_view id = variable("TORCHELASTIC_RUN_ID");
  if (!id.empty() && id != "none") {
    info.run_id = as_id(id);
  } else if (!id.empty() || !variable("MASTER_PORT").empty()) {
    // RANK alone may be set by hand; without anything to agree on there is no common id.
    info.run_id = torchrun_key();
    if (id.empty()) {
      info.rejoined =
          "RANK and MASTER_PORT were set by hand under one process, which is taken for "
          "one job; RINGLOG_RUN_ID tells jobs apart";
    }
  }
  return info;
}

// A step of several tasks, or a program that is itself the task of its step.  Slurm sets the same
// variables for what people start one after another in the shell of `srun --pty bash`.
bool is_slurm_task(LauncherInfo& info) {
  if (!info.rank || !number("SLURM_STEP_ID", info)) return false;
  info.world_size = number("SLURM_NTASKS", info);
  return info.world_size.value_or(1) > 1 || *info.rank > 0 ||
         number_of_pid(variable("SLURM_TASK_PID")) == ::getpid();
}

LauncherInfo slurm(LauncherInfo info) {
  info.local_rank = number("SLURM_LOCALID", info);
  info.attempt = number("SLURM_RESTART_COUNT", info);
  info.source = "slurm";
  if (const auto job = variable("SLURM_JOB_ID"); !job.empty()) {
    std::string id = "slurm-" + std::string(job);
    if (const auto step = variable("SLURM_STEP_ID"); !step.empty()) id += "-" + std::string(step);
    info.run_id = as_id(id);
  }
  return info;
}

LauncherInfo openmpi(LauncherInfo info) {
  info.local_rank = number("OMPI_COMM_WORLD_LOCAL_RANK", info);
  info.world_size = number("OMPI_COMM_WORLD_SIZE", info);
  info.source = "openmpi";
  for (const char* name : {"PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "OMPI_MCA_orte_hnp_uri"}) {
    if (const auto job = variable(name); !job.empty()) {
      info.run_id = short_id(job);
      break;
    }
  }
  return info;
}

LauncherInfo pmi(LauncherInfo info) {
  info.local_rank = number("MPI_LOCALRANKID", info);
  info.world_size = number("PMI_SIZE", info);
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
  LauncherInfo info;
  const auto has_rank = [&](const char* name) {
    info.rank = number(name, info);
    return info.rank.has_value();
  };
  // torchrun under Slurm sets both; the inner launcher knows better.
  if (has_rank("RANK")) return torchrun(info);
  if (has_rank("OMPI_COMM_WORLD_RANK")) return openmpi(info);
  if (has_rank("PMI_RANK")) return pmi(info);
  // Slurm sets SLURM_PROCID in the batch script too.
  if (has_rank("SLURM_PROCID") && is_slurm_task(info)) return slurm(info);
  LauncherInfo none;
  none.notices = std::move(info.notices);
  return none;
}

}  // namespace ringlog::client
