#include "cli/surroundings.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/format.h"

namespace ringlog::cli {

namespace {

// Bytes of a hash that people read.
constexpr size_t kShortHash = 12;

std::string value_in(const record::NamedTexts& list, std::string_view name) {
  for (const auto& [key, value] : list) {
    if (key == name) return value;
  }
  return "";
}

std::string git_line(const record::GitFacts& git) {
  if (git.root.empty()) return "";
  std::string line = git.commit.empty() ? "no commit yet" : git.commit.substr(0, kShortHash);
  if (!git.branch.empty()) line += " on " + git.branch;
  if (!git.remote.empty()) line += ", " + git.remote;
  return line;
}

std::string diff_line(const std::string& path) {
  if (path.empty()) return "";
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return fmt::format("{} ({})", path, format_bytes(error ? 0 : size));
}

std::string container_line(const record::NamedTexts& container) {
  std::string line = value_in(container, "kind");
  const std::string image = value_in(container, "image");
  const std::string pod = value_in(container, "pod");
  if (!image.empty()) line += ", image " + image;
  if (!pod.empty()) line += ", pod " + pod;
  const std::string id = value_in(container, "id").substr(0, kShortHash);
  return id.empty() ? line : line + ", id " + id;
}

std::string slurm_line(const record::NamedTexts& variables) {
  const std::string job = value_in(variables, "SLURM_JOB_ID");
  if (job.empty()) return "";
  std::string line = "job " + job;
  const std::string name = value_in(variables, "SLURM_JOB_NAME");
  if (!name.empty()) line += " (" + name + ")";
  for (const auto& [label, variable] :
       {std::pair{"partition", "SLURM_JOB_PARTITION"}, std::pair{"nodes", "SLURM_JOB_NODELIST"},
        std::pair{"task", "SLURM_PROCID"}}) {
    const std::string value = value_in(variables, variable);
    if (!value.empty()) line += fmt::format(", {} {}", label, value);
  }
  return line;
}

Json named_json(const record::NamedTexts& list) {
  Json json = Json::object();
  for (const auto& [name, value] : list) json[name] = value;
  return json;
}

}  // namespace

std::string diff_path(const std::string& run_dir) {
  std::string path = run_dir + "/files/diff.patch";
  std::error_code error;
  return std::filesystem::exists(path, error) ? path : "";
}

std::vector<std::pair<std::string, std::string>> surrounding_lines(const ProcessEntry& process,
                                                                   const std::string& run_dir) {
  const record::ProcessFacts& facts = process.facts;
  std::string program = facts.executable;
  if (!facts.build_id.empty()) {
    program += fmt::format(" (build id {})", facts.build_id.substr(0, kShortHash));
  }
  std::string user = facts.user;
  if (!user.empty())
    user += fmt::format(", {}, {}", format_plural(facts.cpus, "CPU"), facts.system);
  return {{"program", std::move(program)},
          {"started in", facts.directory},
          {"user", std::move(user)},
          {"git", git_line(facts.git)},
          {"diff", diff_line(diff_path(run_dir))},
          {"slurm", slurm_line(facts.environment)},
          {"container", container_line(facts.container)}};
}

std::vector<record::SettingFact> chosen_settings(const ProcessEntry& process) {
  std::vector<record::SettingFact> chosen;
  for (const record::SettingFact& setting : process.facts.settings) {
    if (setting.origin != "default") chosen.push_back(setting);
  }
  return chosen;
}

Json git_json(const ProcessEntry& process, const std::string& run_dir) {
  const record::GitFacts& git = process.facts.git;
  if (git.root.empty()) return nullptr;
  Json json = {
      {"root", git.root}, {"commit", git.commit}, {"branch", git.branch}, {"remote", git.remote}};
  const std::string diff = diff_path(run_dir);
  json["diff"] = diff.empty() ? Json(nullptr) : Json(diff);
  return json;
}

Json json_of(const ProcessEntry& process) {
  const store::ProducerState& producer = process.producer;
  const record::ProcessFacts& facts = process.facts;
  Json json = {{"rank", producer.rank},
               {"attempt", producer.attempt},
               {"worker", producer.worker},
               {"pid", producer.pid},
               {"executable", facts.executable},
               {"build_id", facts.build_id},
               {"command", facts.command},
               {"directory", facts.directory},
               {"user", facts.user},
               {"system", facts.system},
               {"cpus", facts.cpus}};
  json["environment"] = named_json(facts.environment);
  json["container"] = named_json(facts.container);
  json["git"] = {{"root", facts.git.root},
                 {"commit", facts.git.commit},
                 {"branch", facts.git.branch},
                 {"remote", facts.git.remote}};
  Json settings = Json::object();
  for (const record::SettingFact& setting : facts.settings) {
    settings[setting.name] = {{"value", setting.value}, {"origin", setting.origin}};
  }
  json["settings"] = std::move(settings);
  return json;
}

}  // namespace ringlog::cli
