#include "client/save_files.h"

#include "record/path.h"
#include "shm/posix.h"

#include <glob.h>

#include <cerrno>
#include <filesystem>
#include <string_view>
#include <utility>

namespace ringlog::client {

namespace {

namespace fs = std::filesystem;

bool has_wildcard(std::string_view text) { return text.find_first_of("*?[") != text.npos; }

// What the names of the files are relative to.
fs::path base_of(const fs::path& pattern, const std::string& given) {
  if (!given.empty()) return fs::absolute(given).lexically_normal();
  const fs::path plain = pattern.lexically_normal();
  if (plain.is_relative() && !plain.empty() && *plain.begin() != "..") return fs::current_path();
  fs::path base;
  for (const fs::path& part : pattern.parent_path()) {
    if (has_wildcard(part.string())) break;
    base /= part;
  }
  return fs::absolute(base).lexically_normal();
}

Result<FileToSave> name_file(const std::string& path, const fs::path& base) {
  const fs::path source = fs::absolute(path).lexically_normal();
  const fs::path name = source.lexically_relative(base);
  if (!source.has_filename() || name.empty() || *name.begin() == "..") {
    return Error{Code::kInvalidArgument, path + " is not a file below " + base.string()};
  }
  if (!record::is_utf8(source.string())) {
    return Error{Code::kInvalidArgument, "a name that is not UTF-8"};
  }
  return FileToSave{source.string(), name.string()};
}

// Files only: a pattern that meets folders means what lies beside them.
Result<std::vector<std::string>> match(const std::string& pattern) {
  glob_t found{};
  const int failed = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> paths;
  for (size_t i = 0; failed == 0 && i < found.gl_pathc; ++i) {
    std::error_code ignored;
    if (!fs::is_directory(found.gl_pathv[i], ignored)) paths.emplace_back(found.gl_pathv[i]);
  }
  ::globfree(&found);
  if (failed != 0 && failed != GLOB_NOMATCH) {
    return Error{Code::kIo, "the folders of " + pattern + " cannot be read"};
  }
  if (paths.empty()) return Error{Code::kNotFound, "no file matches " + pattern};
  return paths;
}

}  // namespace

Result<std::vector<FileToSave>> find_files(const std::string& pattern,
                                           const SaveOptions& options) try {
  std::error_code error;
  const fs::file_status status = fs::status(pattern, error);
  if (fs::is_directory(status)) {
    return Error{Code::kInvalidArgument,
                 pattern + " is a folder; name its files: " + pattern + "/*"};
  }
  std::vector<std::string> paths = {pattern};
  if (!fs::exists(status) && has_wildcard(pattern)) {
    auto found = match(pattern);
    if (!found) return found.take_error();
    paths = std::move(*found);
  } else if (!fs::exists(status) && options.policy == SavePolicy::kNow) {
    return shm::errno_error("open " + pattern, error ? error.value() : ENOENT);
  }
  if (paths.size() > kSaveFilesMax) {
    return Error{Code::kInvalidArgument, pattern + " names " + std::to_string(paths.size()) +
                                             " files; " + std::to_string(kSaveFilesMax) +
                                             " are allowed"};
  }
  const fs::path base = base_of(pattern, options.base_path);
  std::vector<FileToSave> files;
  for (const std::string& path : paths) {
    auto file = name_file(path, base);
    if (!file) return file.take_error();
    files.push_back(std::move(*file));
  }
  return files;
} catch (const fs::filesystem_error& e) {
  return Error{Code::kIo, e.what()};
}

}  // namespace ringlog::client
