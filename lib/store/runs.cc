#include "store/runs.h"

#include "store/files.h"
#include "store/written_time.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

namespace ringlog::store {

namespace {

namespace fs = std::filesystem;

// Runs that an error message names.
constexpr size_t kNamedMax = 5;

Error error_of(const std::error_code& error, const std::string& where) {
  const bool denied = error == std::errc::permission_denied;
  return {denied ? Code::kPermission : Code::kIo, where + ": " + error.message()};
}

bool is_run(const fs::path& dir) {
  std::error_code error;
  fs::directory_iterator it(dir / "store", error);
  for (const fs::directory_iterator end; !error && it != end; it.increment(error)) {
    if (is_store_file(it->path().filename().string())) return true;
  }
  // One that cannot be looked into is a run for all we know; opening it says what is wrong.
  return error == std::errc::permission_denied;
}

RunPlace place_of(const fs::path& dir) {
  RunPlace place;
  place.dir = dir.string();
  place.run_id = dir.filename().string();
  place.project = dir.parent_path().filename().string();
  place.mtime_ns = written_ns(place.dir + "/store");
  return place;
}

// The folders in `dir`; one that vanished meanwhile is left out.
Result<std::vector<fs::path>> folders_in(const fs::path& dir) {
  std::vector<fs::path> folders;
  std::error_code error;
  fs::directory_iterator it(dir, error);
  if (error == std::errc::no_such_file_or_directory) return folders;
  for (const fs::directory_iterator end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_directory(ignored)) folders.push_back(it->path());
  }
  if (error) return error_of(error, dir.string());
  return folders;
}

std::string names_of(const std::vector<RunPlace>& runs) {
  std::string names;
  for (size_t i = 0; i < runs.size() && i < kNamedMax; ++i) {
    if (i > 0) names += ", ";
    names += runs[i].project + "/" + runs[i].run_id;
  }
  if (runs.size() > kNamedMax) names += " and " + std::to_string(runs.size() - kNamedMax) + " more";
  return names;
}

Error unknown(const std::string& root, std::string_view name, const std::vector<RunPlace>& runs) {
  std::string message = "no run " + std::string(name) + " under " + root;
  message += runs.empty() ? "; there are no runs" : "; there are " + names_of(runs);
  return {Code::kNotFound, std::move(message)};
}

// A directory given by hand; nothing when it does not look like one.
std::optional<Result<RunPlace>> by_directory(std::string_view name) {
  fs::path dir = fs::path(name).lexically_normal();
  if (!dir.has_filename()) dir = dir.parent_path();
  const bool is_path = name.find('/') != std::string_view::npos || name == "." || name == "..";
  if (!is_path && !is_run(dir)) return std::nullopt;
  std::error_code error;
  const fs::path whole = fs::canonical(dir, error);
  if (error) return Error{Code::kNotFound, std::string(name) + ": " + error.message()};
  if (whole.filename() == "store" && is_run(whole.parent_path())) {
    return Result<RunPlace>(place_of(whole.parent_path()));
  }
  if (!is_run(whole)) {
    return Error{Code::kNotFound, whole.string() + ": is not a run, it holds no store"};
  }
  return Result<RunPlace>(place_of(whole));
}

}  // namespace

Result<std::vector<RunPlace>> find_runs(const std::string& root) {
  Result<std::vector<fs::path>> projects = folders_in(root);
  if (!projects) return projects.take_error();
  std::vector<RunPlace> runs;
  for (const fs::path& project : *projects) {
    Result<std::vector<fs::path>> folders = folders_in(project);
    if (!folders) return folders.take_error();
    for (const fs::path& folder : *folders) {
      if (is_run(folder)) runs.push_back(place_of(folder));
    }
  }
  std::sort(runs.begin(), runs.end(), [](const RunPlace& a, const RunPlace& b) {
    return a.mtime_ns != b.mtime_ns ? a.mtime_ns > b.mtime_ns : a.dir < b.dir;
  });
  return runs;
}

Result<RunPlace> resolve_run(const std::string& root, std::string_view name) {
  if (name.empty()) return Error{Code::kInvalidArgument, "the name of a run is empty"};
  if (std::optional<Result<RunPlace>> place = by_directory(name)) {
    // project/run_id is as good as a path.
    if (*place || !is_run(fs::path(root) / name)) return std::move(*place);
    return place_of(fs::path(root) / name);
  }
  Result<std::vector<RunPlace>> runs = find_runs(root);
  if (!runs) return runs.take_error();
  if (runs->empty()) return unknown(root, name, *runs);
  if (name == "latest") return std::move(runs->front());

  std::vector<RunPlace> exact;
  std::vector<RunPlace> begins;
  for (RunPlace& run : *runs) {
    if (run.run_id == name) exact.push_back(run);
    if (run.run_id.starts_with(name)) begins.push_back(run);
  }
  std::vector<RunPlace>& found = exact.empty() ? begins : exact;
  if (found.empty()) return unknown(root, name, *runs);
  if (found.size() > 1) {
    return Error{Code::kInvalidArgument, std::string(name) + " can mean several runs under " +
                                             root + ": " + names_of(found)};
  }
  return std::move(found.front());
}

}  // namespace ringlog::store
