#pragma once
// Settings from all layers, validated.
//
// Layers, lowest to highest: defaults, the user's settings.toml, RINGLOG_* variables, the program's
// Settings.  A program that joins the run of `ringlog exec` around it does so in that run's project
// and dir, whatever the layers say.  Not to be called while another thread changes the environment.

#include "client/launcher_env.h"

#include <ringlog/result.h>
#include <ringlog/settings.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringlog::client {

enum class Console { kAuto, kOff, kQuiet };
// What is kept of what surrounds a process; client/process_facts.h.
enum class Surroundings { kOn, kNoDiff, kOff };

// Every field has its final value; `dir` is absolute, `run_id` may be empty (a new run).
struct ResolvedSettings {
  std::string project = "uncategorized";
  std::string run_id{};
  std::string name{};
  std::string group{};
  std::vector<std::string> tags{};
  std::string notes{};
  std::string dir{};
  std::string mode = "online";
  int32_t rank = -1;
  int32_t attempt = -1;
  int32_t local_rank = -1;
  int32_t world_size = -1;
  uint64_t ring_bytes = 1024 * 1024;
  FullRing full_ring = FullRing::kWait;
  int64_t full_ring_wait_ms = 1000;
  Durability durability = Durability::kStored;
  Console console = Console::kAuto;
  bool strict = false;
  std::vector<std::string> sinks{};
  int32_t monitor_ms = 0;  // between samples of the machine; 0: the service's default, -1: none
  Surroundings surroundings = Surroundings::kOn;
  bool in_process = false;
  // Which layer set each field: default, a file's path, a variable's name, "argument", a launcher.
  std::map<std::string, std::string> origin{};
  // Things to say once: variables that cannot be used, settings that lose to the run around the
  // program.
  std::vector<std::string> notices{};
  // Said besides by a later attempt of a rank; LauncherInfo has it.
  std::string rejoined{};
};

// Names of all fields.
std::span<const std::string_view> setting_names();

// The fields a program set, as text; lists have one element a line.
using SettingFields = std::map<std::string, std::string>;
SettingFields argument_fields(const Settings& arguments);

// The settings that say how to fail, from whichever layers can be used, when not all settings can.
struct FailureSettings {
  Console console = Console::kAuto;
  bool strict = false;
};
FailureSettings failure_settings(const SettingFields& arguments);

// All layers, with `arguments` as the highest.
//   kInvalidArgument  names the layer, the field, the value and what is allowed
Result<ResolvedSettings> resolve_settings(const SettingFields& arguments);

}  // namespace ringlog::client
