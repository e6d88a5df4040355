#pragma once
// ExecPlace: the run of `ringlog exec` around this process, as exec names it to its program.
//
// Reads the environment only.  Not to be called while another thread changes the environment.

#include <optional>
#include <string>

namespace ringlog::client {

// The variable in which exec names the run: the path <dir>/<project>/<run_id>.
inline constexpr const char* kExecVariable = "RINGLOG_EXEC";

struct ExecPlace {
  std::string dir{};  // absolute, as ResolvedSettings has it
  std::string project{};
  std::string run_id{};
};

std::string exec_variable(const ExecPlace& place);
// Nothing: there is no exec around this process, or the variable is not what it sets.
std::optional<ExecPlace> read_exec_place();

}  // namespace ringlog::client
