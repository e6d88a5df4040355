// settings.toml, the RINGLOG_ variables and what launchers set.
//
//   the file, up to a line that is only "---"; then one NAME=value a line
//
// What the settings let pass, the service takes: names are folders, numbers lie in their ranges.
// What they refuse, they name.

#include <bit>
#include <filesystem>
#include <fstream>
#include <string>

#include "client/settings_layers.h"
#include "daemon/names.h"
#include "environment.h"
#include "shm/limits.h"
#include "temp_dir.h"
#include "tests/fuzz/input.h"

namespace ringlog::fuzz {
namespace {

// Others would change the fuzzer itself.
bool is_ours(std::string_view name) {
  for (const std::string_view prefix : {"RINGLOG_", "TORCHELASTIC_", "SLURM_", "OMPI_", "PMI_",
                                        "PMIX_", "MPI_", "RANK", "LOCAL_", "WORLD_", "MASTER_"}) {
    if (name.starts_with(prefix)) return true;
  }
  return false;
}

void set_variables(test::Environment& environment, std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t equals = line.find('=');
    if (equals == std::string::npos || !is_ours(line)) continue;
    environment.set(line.substr(0, equals).c_str(), line.substr(equals + 1));
  }
}

void check_accepted(const client::ResolvedSettings& settings) {
  require(static_cast<bool>(service::check_project(settings.project)), "the service takes it");
  require(settings.run_id.empty() || service::check_run_id(settings.run_id),
          "the service takes the run id");
  require(static_cast<bool>(service::check_root(settings.dir)), "the service takes the folder");
  require(std::has_single_bit(settings.ring_bytes) && settings.ring_bytes >= shm::kRingBytesMin &&
              settings.ring_bytes <= shm::kRingBytesMax,
          "a segment can have rings of that size");
  require(settings.rank >= -1 && settings.attempt >= -1, "ranks count from 0");
  require(settings.full_ring_wait_ms >= 0, "nobody waits backwards");
  require(settings.durability == Durability::kStored || settings.durability == Durability::kSynced,
          "a durability that commits can have");
}

void run(std::string_view text) {
  static const test::TempDir directory{"/dev/shm"};
  static const std::string file = directory.file("ringlog/settings.toml");
  std::filesystem::create_directories(directory.file("ringlog"));
  const size_t end = text.starts_with("---\n") ? 0 : text.find("\n---\n");
  const size_t file_size = std::min(end, text.size());
  std::ofstream(file, std::ios::binary) << text.substr(0, file_size);
  test::Environment environment;
  environment.set("XDG_CONFIG_HOME", directory.path());
  if (end < text.size()) set_variables(environment, text.substr(end));
  const auto settings = client::resolve_settings({});
  if (settings) return check_accepted(*settings);
  require(settings.error().code == Code::kInvalidArgument, "settings are good or wrong");
  require(settings.error().message.find(file) != std::string::npos ||
              settings.error().message.find("RINGLOG_") != std::string::npos,
          "the message names the file or the variable");
}

}  // namespace
}  // namespace ringlog::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ringlog::fuzz::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
