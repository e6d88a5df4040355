#include "daemon/monitor/processes.h"

#include <dirent.h>

#include <array>
#include <iterator>
#include <memory>
#include <utility>

namespace ringlog::service {

namespace {

// Generations from a process to an attached one; deeper trees are somebody's mistake.
constexpr int kProcessDepthMax = 64;

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

}  // namespace

std::optional<ProcessReading> parse_process(std::string_view text) {
  // The name may hold anything, parentheses too, so fields count from the last one.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  text.remove_prefix(name_end + 1);
  // proc(5) numbers the fields from 1; the state, behind the name, is number 3.
  std::array<uint64_t, 25> fields{};
  for (size_t field = 3; field < fields.size(); ++field) {
    const std::string_view word = take_word(text);
    if (word.empty()) return std::nullopt;
    fields[field] = to_number(word).value_or(0);
  }
  if (fields[22] == 0) return std::nullopt;
  return ProcessReading{static_cast<int32_t>(fields[4]), fields[14] + fields[15], fields[20],
                        fields[22], fields[24]};
}

void ProcessTree::scan() {
  ++scans_;
  parents_.clear();
  const std::unique_ptr<DIR, DirCloser> dir(::opendir(places_.proc.c_str()));
  if (!dir) return;
  while (const dirent* entry = ::readdir(dir.get())) {
    const auto pid = to_number(entry->d_name);
    if (!pid || *pid > INT32_MAX) continue;
    const auto text = file_.read(places_.proc + "/" + entry->d_name + "/stat");
    const auto reading = text ? parse_process(*text) : std::nullopt;
    if (reading) parents_[static_cast<int32_t>(*pid)] = reading->parent;
  }
}

void RunProcesses::find_members(const std::vector<RunProcess>& attached, const ProcessTree& tree) {
  attached_ = attached;
  scan_ = tree.scans();
  std::unordered_map<int32_t, const RunProcess*> roots;
  for (const RunProcess& process : attached_) roots[process.pid] = &process;
  std::map<int32_t, Member> found;
  const auto add = [&](int32_t pid, const RunProcess& root) {
    if (found.size() >= kMonitorProcessesMax) return;
    const auto known = members_.find(pid);
    Member member = known == members_.end() ? Member{} : known->second;
    // An attached process is known by its start as well; a pid alone may be somebody else's by now.
    if (pid == root.pid && member.start != root.pid_start) member = {root.rank, 0, 0};
    member.rank = root.rank;
    found.emplace(pid, member);
  };
  for (const RunProcess& process : attached_) add(process.pid, process);
  for (const auto& [pid, parent] : tree.parents()) {
    int32_t ancestor = pid;
    for (int depth = 0; depth < kProcessDepthMax && ancestor > 1; ++depth) {
      if (const auto root = roots.find(ancestor); root != roots.end()) {
        add(pid, *root->second);
        break;
      }
      const auto next = tree.parents().find(ancestor);
      ancestor = next == tree.parents().end() ? 0 : next->second;
    }
  }
  members_ = std::move(found);
}

// False: the process is gone.
bool RunProcesses::measure_one(int32_t pid, Member& member, uint64_t last_ticks, ProcessUse& use) {
  const auto text = file_.read(places_.proc + "/" + std::to_string(pid) + "/stat");
  const auto reading = text ? parse_process(*text) : std::nullopt;
  if (!reading) return false;
  if (member.start == 0) {
    const bool is_born_since = last_ticks != 0 && reading->start >= last_ticks;
    member.start = reading->start;
    member.ticks = is_born_since ? 0 : reading->ticks;
  }
  if (member.start != reading->start) return false;  // the pid went to another process
  if (reading->ticks > member.ticks) {
    use.cpu_ticks += static_cast<double>(reading->ticks - member.ticks);
  }
  member.ticks = reading->ticks;
  use.rss_pages += reading->rss_pages;
  use.threads += reading->threads;
  ++use.processes;
  return true;
}

std::map<int32_t, ProcessUse> RunProcesses::measure(const std::vector<RunProcess>& attached,
                                                    const ProcessTree& tree, uint64_t last_ticks) {
  if (scan_ != tree.scans() || attached != attached_) find_members(attached, tree);
  std::map<int32_t, ProcessUse> uses;
  for (auto at = members_.begin(); at != members_.end();) {
    auto& [pid, member] = *at;
    const bool is_there = measure_one(pid, member, last_ticks, uses[member.rank]);
    at = is_there ? std::next(at) : members_.erase(at);
  }
  std::erase_if(uses, [](const auto& item) { return item.second.processes == 0; });
  return uses;
}

std::optional<int32_t> RunProcesses::rank_of(int32_t pid) const {
  const auto member = members_.find(pid);
  if (member == members_.end()) return std::nullopt;
  return member->second.rank;
}

}  // namespace ringlog::service
