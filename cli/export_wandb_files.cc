#include "cli/export_wandb_files.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "cli/console.h"
#include "cli/export.h"
#include "cli/files_view.h"
#include "cli/surroundings.h"
#include "shm/copy_file.h"

namespace ringlog::cli {

namespace {

constexpr std::string_view kDiff = "diff.patch";
constexpr std::string_view kConsoleLog = "output.log";

std::string wandb_name(const std::string& name) {
  constexpr std::string_view kOwn[] = {"config.yaml",         "wandb-summary.json",
                                       "wandb-metadata.json", "requirements.txt",
                                       kConsoleLog,           kDiff};
  const bool is_own = std::find(std::begin(kOwn), std::end(kOwn), name) != std::end(kOwn);
  return is_own ? "_" + name : name;
}

Status copy(const std::string& from, const std::string& folder, const std::string& name) {
  auto copied = shm::copy_file({.source = from,
                                .folder = folder,
                                .name = name,
                                .draft = ".ringlog-export.part",
                                .is_synced = true});
  if (!copied) return copied.take_error();
  return Done{};
}

// What was printed, as a file; none when nothing was.
Status write_log(store::RunReader& reader, std::optional<int32_t> rank, const std::string& folder) {
  const std::string path = folder + "/" + std::string(kConsoleLog);
  auto file = ExportFile::create(path);
  if (!file) return file.take_error();
  std::vector<int32_t> ranks;
  if (rank) ranks.push_back(*rank);
  auto lines = write_console(reader, std::move(ranks), false, file->out());
  if (!lines) return lines.take_error();
  if (Status s = file->finish(); !s || *lines > 0) return s;
  ::unlink(path.c_str());
  return Done{};
}

}  // namespace

Result<ExportedFiles> export_wandb_files(store::RunReader& reader, std::optional<int32_t> rank,
                                         const std::string& folder) {
  ExportedFiles out;
  auto files = read_files(reader);
  if (!files) return files.take_error();
  for (const FileEntry& entry : *files) {
    const std::string& name = entry.file.facts.name;
    if (rank && entry.rank != *rank) continue;
    // Of several ranks that saved one name there is one file.
    const std::string to = wandb_name(name);
    if (std::find(out.names.begin(), out.names.end(), to) != out.names.end()) continue;
    const Status copied = copy(reader.dir() + "/files/" + name, folder, to);
    if (copied) {
      out.names.push_back(to);
    } else if (copied.error().code != Code::kNotFound) {
      return copied.error();
    } else if (is_kept(entry.file.facts)) {
      ++out.missing;
    }
  }
  if (const std::string diff = diff_path(reader.dir()); !diff.empty()) {
    if (Status s = copy(diff, folder, std::string(kDiff)); !s) return s.take_error();
    out.names.emplace_back(kDiff);
  }
  if (Status s = write_log(reader, rank, folder); !s) return s.take_error();
  return out;
}

}  // namespace ringlog::cli
