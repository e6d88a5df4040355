#pragma once
// Which files a save() means, and what they are called in the run's folder.
//
// Plain function; looks at the file system, changes nothing.

#include <ringlog/result.h>
#include <ringlog/run.h>

#include <string>
#include <vector>

namespace ringlog::client {

// Files of one save(): each is looked at, and kept in mind by the service.
inline constexpr size_t kSaveFilesMax = 4096;

struct FileToSave {
  std::string source{};  // absolute
  std::string name{};    // below the run's files/ folder
};

// At least one.
//   kNotFound         nothing matches, or a single file that must be there now is not
//   kInvalidArgument  a folder, a name that leads out of files/ or is not UTF-8, a file that is not
//                     below the base path, more than kSaveFilesMax
//   kIo               the pattern's folders cannot be read
Result<std::vector<FileToSave>> find_files(const std::string& pattern, const SaveOptions& options);

}  // namespace ringlog::client
