#include "client/exec_place.h"

#include <cstdlib>
#include <utility>

namespace ringlog::client {

std::string exec_variable(const ExecPlace& place) {
  return place.dir + "/" + place.project + "/" + place.run_id;
}

std::optional<ExecPlace> read_exec_place() {
  const char* const text = std::getenv(kExecVariable);
  if (text == nullptr) return std::nullopt;
  // Neither a project nor a run id has a slash in it.
  const std::string path(text);
  const size_t id = path.rfind('/');
  if (id == std::string::npos || id == 0) return std::nullopt;
  const size_t project = path.rfind('/', id - 1);
  if (project == std::string::npos) return std::nullopt;
  // The root of the file system is a slash by itself.
  ExecPlace place{project == 0 ? "/" : path.substr(0, project),
                  path.substr(project + 1, id - project - 1), path.substr(id + 1)};
  const bool is_whole = path.front() == '/' && !place.project.empty() && !place.run_id.empty();
  return is_whole ? std::optional(std::move(place)) : std::nullopt;
}

}  // namespace ringlog::client
