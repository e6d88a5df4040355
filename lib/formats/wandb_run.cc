#include "formats/wandb_run.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <tuple>
#include <utility>

#include "formats/utf8.h"

namespace ringlog::formats {

namespace {

constexpr size_t kNameSizeMax = 128;  // W&B's limit for ids and projects, in bytes here

std::string replaced(std::string_view text, std::string_view refused) {
  std::string out = clean_utf8(text.substr(0, kNameSizeMax));
  for (char& c : out) {
    if (refused.find(c) != std::string_view::npos) c = '-';
  }
  return out;
}

}  // namespace

std::string wandb_id(std::string_view id) { return replaced(id, ":;,#?/'\\"); }
std::string wandb_project(std::string_view project) { return replaced(project, "/\\#?%:"); }

WandbRun WandbFacts::run(std::optional<int32_t> rank) const {
  WandbRun run;
  run.id = wandb_id(meta.run_id);
  run.project = wandb_project(meta.project);
  run.name = meta.name;
  run.group = meta.group;
  run.notes = meta.notes;
  run.tags = meta.tags;
  run.host = meta.host;
  run.command = meta.command;
  run.started_ns = meta.created_ns;
  run.config = config;
  std::vector<store::ProcessEntry> mine;
  for (const store::ProcessEntry& entry : processes) {
    if (!rank || entry.producer.rank == *rank) mine.push_back(entry);
  }
  if (const store::ProcessEntry* const main = main_process(mine)) run.process = main->facts;
  if (rank) {
    run.id += "-rank" + std::to_string(*rank);
    run.group = meta.group.empty() ? meta.run_id : meta.group;
    run.job_type = "rank";
    run.name = (meta.name.empty() ? meta.run_id : meta.name) + " rank " + std::to_string(*rank);
  }
  return run;
}

bool WandbFacts::is_running(std::optional<int32_t> rank) const {
  if (meta.state != "running" && !meta.state.empty()) return false;
  return std::any_of(producers.begin(), producers.end(), [&](const auto& p) {
    return (!rank || p.rank == *rank) && p.state == "running";
  });
}

int32_t WandbFacts::exit_code(std::optional<int32_t> rank) const {
  std::map<std::pair<int32_t, uint32_t>, const store::ProducerState*> newest;
  for (const store::ProducerState& producer : producers) {
    if (rank && producer.rank != *rank) continue;
    newest[{producer.rank, producer.worker}] = &producer;  // sorted by attempt
  }
  for (const auto& [who, producer] : newest) {
    if (producer->state == "finished" || producer->state == "stopped") continue;
    if (producer->exit_code != 0) return producer->exit_code;
    return producer->signal != 0 ? 128 + producer->signal : 1;
  }
  return 0;
}

int64_t WandbFacts::ended_ns(int64_t last_ns) const {
  return std::max({meta.ended_ns, last_ns, meta.created_ns});
}

Result<std::vector<store::ProducerState>> read_wandb_producers(store::RunReader& reader) {
  auto producers = reader.producers();
  if (!producers) return producers;
  std::sort(producers->begin(), producers->end(), [](const auto& a, const auto& b) {
    return std::tie(a.rank, a.attempt, a.worker, a.producer) <
           std::tie(b.rank, b.attempt, b.worker, b.producer);
  });
  return producers;
}

Result<WandbFacts> read_wandb_facts(store::RunReader& reader, store::RunMeta meta) {
  WandbFacts facts;
  facts.meta = std::move(meta);
  auto producers = read_wandb_producers(reader);
  if (!producers) return producers.take_error();
  facts.producers = *std::move(producers);
  auto config = reader.config();
  if (!config) return config.take_error();
  facts.config = *std::move(config);
  auto processes = store::read_processes(reader);
  if (!processes) return processes.take_error();
  facts.processes = *std::move(processes);
  return facts;
}

std::string image_of(const record::ProcessFacts& process) {
  for (const auto& [name, value] : process.container) {
    if (name == "image") return value;
  }
  return "";
}

record::NamedTexts slurm_of(const record::ProcessFacts& process) {
  constexpr std::string_view kSlurm = "SLURM_";
  record::NamedTexts out;
  for (const auto& [name, value] : process.environment) {
    if (!name.starts_with(kSlurm)) continue;
    std::string key = name.substr(kSlurm.size());
    for (char& c : key) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    out.emplace_back(std::move(key), value);
  }
  return out;
}

}  // namespace ringlog::formats
