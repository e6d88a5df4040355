#pragma once
// An environment that says nothing to ringlog, for as long as the object lives; then the old one is
// back.  One at a time, in a program with one thread.

#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ringlog::test {

class Environment {
 public:
  Environment() {
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
      const std::string_view text(*entry);
      const size_t equals = text.find('=');
      if (equals == std::string_view::npos) continue;
      before_.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
    for (const auto& [name, value] : before_) {
      if (is_read_by_ringlog(name)) ::unsetenv(name.c_str());
    }
    set("XDG_CONFIG_HOME", "/nonexistent");
  }
  ~Environment() {
    ::clearenv();
    for (const auto& [name, value] : before_) ::setenv(name.c_str(), value.c_str(), 1);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  void set(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); }
  void unset(const char* name) { ::unsetenv(name); }

 private:
  static bool is_read_by_ringlog(std::string_view name) {
    for (const std::string_view prefix :
         {"RINGLOG_", "XDG_", "TORCHELASTIC_", "SLURM_", "OMPI_", "PMI_", "PMIX_", "MPI_"}) {
      if (name.starts_with(prefix)) return true;
    }
    for (const std::string_view whole :
         {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}) {
      if (name == whole) return true;
    }
    return false;
  }

  std::vector<std::pair<std::string, std::string>> before_;
};

}  // namespace ringlog::test
