#include "cli/files_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "cli/format.h"

namespace ringlog::cli {

namespace {

using record::FileState;

const char* policy_name(SavePolicy policy) {
  constexpr const char* kNames[] = {"now", "live", "end"};
  return kNames[static_cast<size_t>(policy)];
}

const char* state_name(const record::FileFacts& file) {
  if (file.state == FileState::kFailed) return "failed";
  if (!is_kept(file)) return "waiting";
  return file.is_final ? "kept" : "kept so far";
}

}  // namespace

// Records of `now` files had no state once.
bool is_kept(const record::FileFacts& file) {
  return file.state == FileState::kKept ||
         (file.state == FileState::kAsked && file.policy == SavePolicy::kNow);
}

Result<std::vector<FileEntry>> read_files(store::RunReader& reader) {
  auto producers = reader.producers();
  if (!producers) return producers.take_error();
  auto files = reader.files();
  if (!files) return files.take_error();
  std::vector<FileEntry> entries;
  for (store::RunFile& file : *files) {
    FileEntry entry;
    for (const store::ProducerState& producer : *producers) {
      if (producer.producer != file.producer) continue;
      entry.rank = producer.rank;
      entry.attempt = producer.attempt;
    }
    entry.file = std::move(file);
    entries.push_back(std::move(entry));
  }
  std::stable_sort(entries.begin(), entries.end(), [](const FileEntry& a, const FileEntry& b) {
    return std::tie(a.file.facts.name, a.rank, a.attempt) <
           std::tie(b.file.facts.name, b.rank, b.attempt);
  });
  return entries;
}

Json json_of(const FileEntry& entry) {
  const record::FileFacts& file = entry.file.facts;
  return {{"name", file.name},
          {"source", file.source},
          {"policy", policy_name(file.policy)},
          {"state", state_name(file)},
          {"size", file.size},
          {"problem", file.problem},
          {"rank", entry.rank},
          {"attempt", entry.attempt},
          {"time", json_seconds(entry.file.time_ns)}};
}

FilesTable files_table(const std::vector<FileEntry>& files, size_t count_max) {
  FilesTable out{"", Table({{"NAME", Table::Align::kLeft, 20},
                            {"RANK"},
                            {"SAVED"},
                            {"SIZE", Table::Align::kRight},
                            {"STATE"},
                            {"", Table::Align::kLeft, 20}})};
  uint64_t bytes = 0;
  const bool has_ranks = std::any_of(files.begin(), files.end(), [&](const FileEntry& entry) {
    return entry.rank != files.front().rank;
  });
  for (size_t i = 0; i < files.size(); ++i) {
    const record::FileFacts& file = files[i].file.facts;
    bytes += file.size;
    if (i >= count_max) continue;
    const bool has_failed = file.state == FileState::kFailed;
    out.table.add({{printable(file.name)},
                   {has_ranks ? std::to_string(files[i].rank) : ""},
                   {policy_name(file.policy)},
                   {is_kept(file) ? format_bytes(file.size) : ""},
                   {state_name(file), has_failed ? Ink::kYellow : Ink::kPlain},
                   {printable(file.problem)}});
  }
  if (files.empty()) return out;
  out.title = fmt::format("files, {}", format_bytes(bytes));
  out.left_out = files.size() - std::min(files.size(), count_max);
  return out;
}

}  // namespace ringlog::cli
