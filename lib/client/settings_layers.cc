#include "client/settings_layers.h"

#include "client/exec_place.h"
#include "client/nearest_name.h"
#include "record/limits.h"
#include "record/path.h"
#include "shm/limits.h"

#include <unistd.h>

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <sstream>
#include <string_view>

extern char** environ;

namespace ringlog::client {

namespace {

// One layer: fields as text, lists with one element a line, and where they came from.
struct Layer {
  std::string source;  // "argument" or a file's path; variables name themselves
  SettingFields fields;
};

constexpr std::string_view kFields[] = {"project",
                                        "run_id",
                                        "name",
                                        "group",
                                        "tags",
                                        "notes",
                                        "dir",
                                        "mode",
                                        "rank",
                                        "attempt",
                                        "ring_bytes",
                                        "full_ring",
                                        "full_ring_wait_ms",
                                        "durability",
                                        "console",
                                        "strict",
                                        "sinks",
                                        "monitor",
                                        "surroundings",
                                        "in_process"};
// Variables that are not fields of Settings but ours.
constexpr std::string_view kOtherVariables[] = {"RINGLOG_RUNTIME_DIR", "RINGLOG_SERVICE",
                                                "RINGLOG_IDLE_EXIT_S", "RINGLOG_FAILPOINT",
                                                kExecVariable};

bool is_list(std::string_view field) { return field == "tags" || field == "sinks"; }

std::string lines(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& element : list) text += (text.empty() ? "" : "\n") + element;
  return text;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t at = std::min(text.find(separator), text.size());
    if (at > 0) parts.emplace_back(text.substr(0, at));
    text.remove_prefix(std::min(at + 1, text.size()));
  }
  return parts;
}

std::string variable_name(std::string_view field) {
  std::string name = "RINGLOG_";
  for (const char c : field) name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

Layer environment_layer() {
  Layer layer;
  for (const std::string_view field : kFields) {
    const char* text = std::getenv(variable_name(field).c_str());
    if (text == nullptr) continue;
    layer.fields[std::string(field)] = is_list(field) ? lines(split(text, ',')) : text;
  }
  return layer;
}

}  // namespace

SettingFields argument_fields(const Settings& s) {
  SettingFields fields;
  const auto text = [&](const char* field, const std::string& value) {
    if (!value.empty()) fields[field] = value;
  };
  const auto number = [&](const char* field, const auto& value) {
    if (value) fields[field] = std::to_string(static_cast<int64_t>(*value));
  };
  text("project", s.project);
  text("run_id", s.run_id);
  text("name", s.name);
  text("group", s.group);
  text("tags", lines(s.tags));
  text("notes", s.notes);
  text("dir", s.dir);
  text("mode", s.mode);
  number("rank", s.rank);
  number("attempt", s.attempt);
  if (s.ring_bytes != 0) fields["ring_bytes"] = std::to_string(s.ring_bytes);
  constexpr std::string_view kFullRing[] = {"wait", "drop", "coalesce"};
  if (s.full_ring) fields["full_ring"] = kFullRing[static_cast<size_t>(*s.full_ring) % 3];
  number("full_ring_wait_ms", s.full_ring_wait_ms);
  constexpr std::string_view kDurability[] = {"committed", "stored", "synced", "sent"};
  if (s.durability) fields["durability"] = kDurability[static_cast<size_t>(*s.durability) % 4];
  text("console", s.console);
  if (s.strict) fields["strict"] = *s.strict ? "true" : "false";
  text("sinks", lines(s.sinks));
  text("monitor", s.monitor);
  text("surroundings", s.surroundings);
  if (s.in_process) fields["in_process"] = *s.in_process ? "true" : "false";
  return fields;
}

namespace {

std::string settings_file() {
  if (const char* dir = std::getenv("XDG_CONFIG_HOME"); dir != nullptr && *dir == '/') {
    return std::string(dir) + "/ringlog/settings.toml";
  }
  const char* home = std::getenv("HOME");
  return home == nullptr ? "" : std::string(home) + "/.config/ringlog/settings.toml";
}

// A value of the file as text; nothing when the field cannot take such a one.
std::optional<std::string> toml_text(const toml::node& node, std::string_view field) {
  if (node.is_string()) return *node.value<std::string>();
  if (!is_list(field)) {
    if (node.is_boolean()) return *node.value<bool>() ? "true" : "false";
    if (field == "monitor" && node.is_floating_point()) {
      // As apply_monitor() reads it: a program may have set a locale with a decimal comma.
      std::array<char, 32> text{};
      const auto end = std::to_chars(text.data(), text.data() + text.size(), *node.value<double>());
      return std::string(text.data(), end.ptr);
    }
    if (node.is_integer()) return std::to_string(*node.value<int64_t>());
    return std::nullopt;
  }
  const toml::array* const array = node.as_array();
  if (array == nullptr) return std::nullopt;
  std::string list;
  for (const toml::node& element : *array) {
    if (!element.is_string()) return std::nullopt;
    list += (list.empty() ? "" : "\n") + *element.value<std::string>();
  }
  return list;
}

Result<Layer> file_layer() {
  Layer layer{.source = settings_file(), .fields = {}};
  std::error_code error;
  if (layer.source.empty() || !std::filesystem::exists(layer.source, error)) return layer;
  if (std::filesystem::is_directory(layer.source, error)) {
    return Error{Code::kInvalidArgument, layer.source + " is a folder, not a file of settings"};
  }
  try {
    for (const auto& [key, node] : toml::parse_file(layer.source)) {
      const std::string field(key.str());
      const auto text = toml_text(node, field);
      if (!text) {
        std::ostringstream type;
        type << node.type();
        return Error{Code::kInvalidArgument,
                     layer.source + ": " + field + " is of type " + type.str() + "; allowed: " +
                         (is_list(field) ? "a list of strings" : "a string, integer or boolean")};
      }
      layer.fields[field] = *text;
    }
  } catch (const toml::parse_error& e) {
    return Error{Code::kInvalidArgument, layer.source + ":" +
                                             std::to_string(e.source().begin.line) + ": " +
                                             std::string(e.description())};
  }
  return layer;
}

// Applies one field; returns what is allowed when the value is not.
using Apply = std::function<std::optional<std::string>(ResolvedSettings&, const std::string&)>;

template <typename T>
std::optional<T> parse_number(const std::string& text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Apply text_field(std::string ResolvedSettings::*field) {
  return [field](ResolvedSettings& s, const std::string& v) -> std::optional<std::string> {
    if (!record::is_utf8(v)) return "UTF-8 text";
    s.*field = v;
    return std::nullopt;
  };
}

Apply list_field(std::vector<std::string> ResolvedSettings::*field) {
  return [field](ResolvedSettings& s, const std::string& v) -> std::optional<std::string> {
    if (!record::is_utf8(v)) return "UTF-8 text";
    s.*field = split(v, '\n');
    return std::nullopt;
  };
}

// A name that becomes a folder's: the store's directory is <dir>/<project>/<run_id>.
Apply folder_field(std::string ResolvedSettings::*field, std::string_view forbidden) {
  return
      [field, forbidden](ResolvedSettings& s, const std::string& v) -> std::optional<std::string> {
        constexpr size_t kNameMax = 128;
        const bool has_control = std::any_of(v.begin(), v.end(), [](char c) {
          return static_cast<unsigned char>(c) < ' ' || c == '\x7f';
        });
        if (v.empty() || v.size() > kNameMax || v == "." || v == ".." || has_control ||
            v.find_first_of(forbidden) != std::string::npos || !record::is_utf8(v)) {
          return "1 to 128 bytes of UTF-8 without control characters and none of " +
                 std::string(forbidden);
        }
        s.*field = v;
        return std::nullopt;
      };
}

// A path, which ends at a NUL for the system and not for us.
std::optional<std::string> apply_dir(ResolvedSettings& s, const std::string& v) {
  if (!record::is_utf8(v) || v.find('\0') != std::string::npos)
    return "a path in UTF-8 without NUL";
  s.dir = v;
  return std::nullopt;
}

template <typename T>
Apply integer_field(T ResolvedSettings::*field, T low, T high) {
  return [=](ResolvedSettings& s, const std::string& v) -> std::optional<std::string> {
    const auto value = parse_number<T>(v);
    if (!value || *value < low || *value > high) {
      return "a whole number from " + std::to_string(low) + " to " + std::to_string(high);
    }
    s.*field = *value;
    return std::nullopt;
  };
}

template <typename T>
Apply choice_field(T ResolvedSettings::*field, std::vector<std::pair<std::string, T>> choices) {
  return [=](ResolvedSettings& s, const std::string& v) -> std::optional<std::string> {
    std::string allowed;
    for (const auto& [name, value] : choices) {
      if (v == name) {
        s.*field = value;
        return std::nullopt;
      }
      allowed += (allowed.empty() ? "" : ", ") + name;
    }
    return "one of " + allowed;
  };
}

Apply flag_field(bool ResolvedSettings::*field) {
  return choice_field<bool>(field, {{"true", true}, {"1", true}, {"false", false}, {"0", false}});
}

std::optional<std::string> apply_monitor(ResolvedSettings& s, const std::string& v) {
  constexpr double kSecondsMin = 0.1;
  constexpr double kSecondsMax = 3600;
  if (v == "off") {
    s.monitor_ms = -1;
    return std::nullopt;
  }
  const auto seconds = parse_number<double>(v);
  if (!seconds || !(*seconds >= kSecondsMin && *seconds <= kSecondsMax)) {
    return "off, or seconds between samples from 0.1 to 3600";
  }
  s.monitor_ms = static_cast<int32_t>(std::lround(*seconds * 1000));
  return std::nullopt;
}

std::optional<std::string> apply_ring_bytes(ResolvedSettings& s, const std::string& v) {
  const auto bytes = parse_number<uint64_t>(v);
  if (!bytes || !std::has_single_bit(*bytes) || *bytes < shm::kRingBytesMin ||
      *bytes > shm::kRingBytesMax) {
    return "a power of two from " + std::to_string(shm::kRingBytesMin) + " to " +
           std::to_string(shm::kRingBytesMax);
  }
  s.ring_bytes = *bytes;
  return std::nullopt;
}

const std::map<std::string, Apply>& appliers() {
  using S = ResolvedSettings;
  static const auto* const kAppliers = new std::map<std::string, Apply>{
      {"project", folder_field(&S::project, "/\\#?%:")},
      {"run_id", folder_field(&S::run_id, ":;,#?/'\\")},
      {"name", text_field(&S::name)},
      {"group", text_field(&S::group)},
      {"tags", list_field(&S::tags)},
      {"notes", text_field(&S::notes)},
      {"dir", apply_dir},
      {"mode",
       choice_field<std::string>(
           &S::mode, {{"online", "online"}, {"offline", "offline"}, {"disabled", "disabled"}})},
      {"rank", integer_field<int32_t>(&S::rank, 0, record::kRankMax)},
      {"attempt", integer_field<int32_t>(&S::attempt, 0, record::kAttemptMax)},
      {"ring_bytes", apply_ring_bytes},
      {"full_ring", choice_field<FullRing>(&S::full_ring, {{"wait", FullRing::kWait},
                                                           {"drop", FullRing::kDrop},
                                                           {"coalesce", FullRing::kCoalesce}})},
      {"full_ring_wait_ms", integer_field<int64_t>(&S::full_ring_wait_ms, 0, 3'600'000)},
      {"durability", choice_field<Durability>(&S::durability, {{"stored", Durability::kStored},
                                                               {"synced", Durability::kSynced}})},
      {"console", choice_field<Console>(&S::console, {{"auto", Console::kAuto},
                                                      {"off", Console::kOff},
                                                      {"quiet", Console::kQuiet}})},
      {"strict", flag_field(&S::strict)},
      {"sinks", list_field(&S::sinks)},
      {"monitor", apply_monitor},
      {"surroundings",
       choice_field<Surroundings>(&S::surroundings, {{"on", Surroundings::kOn},
                                                     {"no-diff", Surroundings::kNoDiff},
                                                     {"off", Surroundings::kOff}})},
      {"in_process", flag_field(&S::in_process)},
  };
  return *kAppliers;
}

std::vector<std::string> field_names() { return {std::begin(kFields), std::end(kFields)}; }

Status apply_layer(const Layer& layer, ResolvedSettings& settings) {
  for (const auto& [field, value] : layer.fields) {
    const std::string source = layer.source.empty() ? variable_name(field) : layer.source;
    if (!appliers().contains(field)) {
      return Error{Code::kInvalidArgument,
                   source + ": there is no setting " + field + did_you_mean(field, field_names())};
    }
    if (const auto allowed = appliers().at(field)(settings, value)) {
      std::string what = source;
      if (!layer.source.empty()) what.append(": ").append(field);
      return Error{Code::kInvalidArgument,
                   what + " is \"" + value.substr(0, 200) + "\"; allowed: " + *allowed};
    }
    settings.origin[field] = source;
  }
  return Done{};
}

void apply_launcher(ResolvedSettings& settings) {
  const LauncherInfo launcher = read_launcher();
  settings.notices = launcher.notices;
  if (launcher.source.empty()) return;
  const auto take = [&](const char* field, const std::optional<int32_t>& from, int32_t& to) {
    if (!from) return;
    to = *from;
    settings.origin[field] = launcher.source;
  };
  take("rank", launcher.rank, settings.rank);
  take("attempt", launcher.attempt, settings.attempt);
  take("local_rank", launcher.local_rank, settings.local_rank);
  take("world_size", launcher.world_size, settings.world_size);
  if (!launcher.run_id.empty()) {
    settings.run_id = launcher.run_id;
    settings.rejoined = launcher.rejoined;
    settings.origin["run_id"] = launcher.source;
  }
}

std::vector<std::string> variable_names() {
  std::vector<std::string> names(std::begin(kOtherVariables), std::end(kOtherVariables));
  for (const std::string_view field : kFields) names.push_back(variable_name(field));
  return names;
}

void report_unknown_variables(ResolvedSettings& settings) {
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (!text.starts_with("RINGLOG_")) continue;
    const std::string_view name = text.substr(0, text.find('='));
    const auto is_name = [&](std::string_view field) { return variable_name(field) == name; };
    if (std::any_of(std::begin(kFields), std::end(kFields), is_name)) continue;
    if (std::find(std::begin(kOtherVariables), std::end(kOtherVariables), name) !=
        std::end(kOtherVariables)) {
      continue;
    }
    settings.notices.push_back("the variable " + std::string(name) +
                               " is not one of ringlog's and is ignored" +
                               did_you_mean(name, variable_names()));
  }
}

// A field of the run around this program wins over what the program says, with a notice.
void take_outer(const char* field, const std::string& outer, ResolvedSettings& settings,
                std::string& value) {
  std::string& origin = settings.origin[field];
  if (value != outer) {
    settings.notices.push_back(std::string(field) + " is \"" + outer +
                               "\", of the run of `ringlog exec` around this program, and not \"" +
                               value + "\" (" + (origin.empty() ? "default" : origin) +
                               "); set RINGLOG_" + (*field == 'd' ? "DIR" : "PROJECT") +
                               " for exec to have both there");
    value = outer;
  }
  origin = "ringlog exec";
}

// A program under `ringlog exec` joins the run around it where that is: another project or folder
// would make a second run of the same id there.  False: there is no such run.
bool join_exec(ResolvedSettings& settings) {
  const auto outer = read_exec_place();
  if (!outer || outer->run_id != settings.run_id) return false;
  // Whoever set the variable, the project has to be one.
  ResolvedSettings probe;
  if (appliers().at("project")(probe, outer->project)) return false;
  // What there is to say of the environment exec has said.
  settings.notices.clear();
  take_outer("project", outer->project, settings, settings.project);
  take_outer("dir", outer->dir, settings, settings.dir);
  return true;
}

}  // namespace

std::span<const std::string_view> setting_names() { return kFields; }

FailureSettings failure_settings(const SettingFields& arguments) {
  ResolvedSettings settings;
  auto file = file_layer();
  for (const SettingFields& fields :
       {file ? file->fields : SettingFields{}, environment_layer().fields, arguments}) {
    for (const char* field : {"console", "strict"}) {
      const auto value = fields.find(field);
      // One that cannot be used leaves what the layers below say.
      if (value != fields.end()) (void)appliers().at(field)(settings, value->second);
    }
  }
  return {settings.console, settings.strict};
}

Result<ResolvedSettings> resolve_settings(const SettingFields& arguments) {
  ResolvedSettings settings;
  auto file = file_layer();
  if (!file) return file.take_error();
  // The launcher stands between the file and the variables: what somebody set for ringlog wins.
  if (Status s = apply_layer(*file, settings); !s) return s.take_error();
  apply_launcher(settings);
  const std::string launcher_id = settings.run_id;
  if (Status s = apply_layer(environment_layer(), settings); !s) return s.take_error();
  if (Status s = apply_layer({"argument", arguments}, settings); !s) return s.take_error();
  // Whoever names the run by itself means it.
  if (settings.run_id != launcher_id) settings.rejoined.clear();
  std::error_code error;
  const std::filesystem::path dir = settings.dir.empty() ? "ringlog" : settings.dir;
  settings.dir = std::filesystem::absolute(dir, error).lexically_normal().string();
  if (error)
    return Error{Code::kInvalidArgument, "dir is " + dir.string() + ": " + error.message()};
  while (settings.dir.size() > 1 && settings.dir.back() == '/') settings.dir.pop_back();
  if (join_exec(settings)) return settings;
  report_unknown_variables(settings);
  return settings;
}

}  // namespace ringlog::client
