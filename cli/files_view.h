#pragma once
// The files that were saved with a run, for people and programs.
//
// Plain functions of their arguments; safe from any thread.

#include <cstddef>
#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/table.h"
#include "store/reader.h"

namespace ringlog::cli {

struct FileEntry {
  store::RunFile file;
  int32_t rank = 0;
  int32_t attempt = 0;
};

// By name, then rank.
Result<std::vector<FileEntry>> read_files(store::RunReader& reader);

// There is a copy of it in the run's folder.
bool is_kept(const record::FileFacts& file);

Json json_of(const FileEntry& entry);

struct FilesTable {
  std::string title;
  Table table;
  size_t left_out = 0;  // files above `count_max`
};
FilesTable files_table(const std::vector<FileEntry>& files, size_t count_max);

}  // namespace ringlog::cli
