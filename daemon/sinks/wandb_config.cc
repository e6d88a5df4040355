#include "daemon/sinks/wandb_config.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "formats/utf8.h"
#include "formats/wandb_rows.h"

namespace ringlog::service {

namespace {

using store::Tree;

// A metric's entry in "m": fields by their numbers in W&B's own message.
struct MetricEntry {
  std::string name{};
  size_t step_metric = 0;  // counted from 1; 0: none
  std::vector<int64_t> options{};
  std::vector<int64_t> summary{};
};

Tree tree_of(const std::vector<int64_t>& numbers) {
  Tree::List list;
  for (const int64_t number : numbers) list.emplace_back(number);
  return Tree(std::move(list));
}

std::vector<int64_t> numbers_of(const std::vector<std::string>& summary) {
  const std::map<std::string, int64_t> numbers = {{"min", 1},  {"max", 2},  {"mean", 3},
                                                  {"last", 5}, {"none", 6}, {"first", 8}};
  std::vector<int64_t> out;
  for (const std::string& name : summary) {
    const auto found = numbers.find(name);
    if (found != numbers.end()) out.push_back(found->second);
  }
  std::sort(out.begin(), out.end());
  return out;
}

class MetricEntries {
 public:
  void add(const store::MetricRule& rule, const std::string& label) {
    constexpr int64_t kStepSync = 1;
    constexpr int64_t kHidden = 2;
    constexpr int64_t kDefined = 3;
    MetricEntry entry{.name = label + rule.name, .summary = numbers_of(rule.summary)};
    if (!rule.step_metric.empty()) entry.options.push_back(kStepSync);
    if (rule.is_hidden) entry.options.push_back(kHidden);
    if (!rule.name.ends_with('*')) entry.options.push_back(kDefined);
    const size_t index = index_of(entry.name);
    entries_[index] = std::move(entry);
    if (rule.step_metric.empty()) return;
    const size_t step = index_of(label + rule.step_metric);
    entries_[index].step_metric = step + 1;
  }

  Tree tree() const {
    Tree::List list;
    for (const MetricEntry& entry : entries_) {
      const bool is_glob = entry.name.ends_with('*');
      Tree::Object object;
      object[is_glob ? "2" : "1"] = Tree(formats::clean_utf8(entry.name));
      if (entry.step_metric != 0) object["5"] = Tree(static_cast<int64_t>(entry.step_metric));
      object["6"] = tree_of(entry.options);
      object["7"] = tree_of(entry.summary);
      list.emplace_back(std::move(object));
    }
    return Tree(std::move(list));
  }

 private:
  size_t index_of(const std::string& name) {
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (entries_[i].name == name) return i;
    }
    entries_.push_back({.name = name});
    return entries_.size() - 1;
  }

  std::vector<MetricEntry> entries_;
};

void set_text(Tree::Object& to, const char* key, const std::string& text) {
  if (!text.empty()) to[key] = Tree(formats::clean_utf8(text));
}

Tree environment_of(const formats::WandbRun& run) {
  const record::ProcessFacts& process = run.process;
  Tree::Object out;
  set_text(out, "os", process.system.empty() ? "Linux" : process.system);
  set_text(out, "startedAt", formats::utc_text(run.started_ns) + "Z");
  if (!run.command.empty()) set_text(out, "program", run.command.front());
  if (run.command.size() > 1) {
    Tree::List args;
    for (size_t i = 1; i < run.command.size(); ++i) {
      args.emplace_back(formats::clean_utf8(run.command[i]));
    }
    out["args"] = Tree(std::move(args));
  }
  set_text(out, "root", process.directory);
  set_text(out, "host", run.host);
  set_text(out, "username", process.user);
  set_text(out, "executable", process.executable);
  if (process.cpus > 0) {
    out["cpu_count"] = Tree(int64_t{process.cpus});
    out["cpu_count_logical"] = Tree(int64_t{process.cpus});
  }
  if (!process.git.commit.empty()) {
    Tree::Object git;
    set_text(git, "commit", process.git.commit);
    set_text(git, "remote", process.git.remote);
    out["git"] = Tree(std::move(git));
  }
  set_text(out, "docker", formats::image_of(process));
  Tree::Object slurm;
  for (const auto& [name, value] : formats::slurm_of(process)) {
    set_text(slurm, name.c_str(), value);
  }
  if (!slurm.empty()) out["slurm"] = Tree(std::move(slurm));
  set_text(out, "writerId", run.id);
  return Tree(std::move(out));
}

// Each top-level key over its value, as W&B wants it.
std::map<std::string, Tree> values_of(const formats::WandbRun& run, const store::MetricRules& rules,
                                      const std::set<int32_t>& ranks) {
  std::map<std::string, Tree> out;
  if (const Tree::Object* config = run.config.object()) {
    for (const auto& [key, value] : *config) out[formats::clean_utf8(key)] = value;
  }
  MetricEntries metrics;
  for (const store::MetricRule& rule : rules.all()) metrics.add(rule, "");
  if (ranks.size() > 1) {
    for (const int32_t rank : ranks) {
      for (const store::MetricRule& rule : rules.all()) {
        metrics.add(rule, "rank" + std::to_string(rank) + "/");
      }
    }
  }
  Tree::Object environments;
  environments[run.id] = environment_of(run);
  Tree::Object own;
  own["m"] = metrics.tree();
  own["e"] = Tree(std::move(environments));
  out["_wandb"] = Tree(std::move(own));
  return out;
}

}  // namespace

std::string config_json(const formats::WandbRun& run, const store::MetricRules& rules,
                        const std::set<int32_t>& ranks) {
  Tree::Object all;
  for (auto& [key, value] : values_of(run, rules, ranks)) {
    Tree::Object wrapped;
    wrapped["value"] = value;
    all[key] = Tree(std::move(wrapped));
  }
  return store::to_json(Tree(std::move(all)));
}

std::string config_yaml(const formats::WandbRun& run, const store::MetricRules& rules,
                        const std::set<int32_t>& ranks) {
  std::string out;
  for (const auto& [key, value] : values_of(run, rules, ranks)) {
    // JSON is YAML, whatever stands in the key.
    out += store::to_json(Tree(key)) + ":\n    value: " + store::to_json(value) + "\n";
  }
  return out;
}

std::string metadata_json(const formats::WandbRun& run) {
  return store::to_json(environment_of(run));
}

}  // namespace ringlog::service
