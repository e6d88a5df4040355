// Settings as text again, for people who look at the run.

#include <array>

#include "client/process_facts.h"
#include "client/redact.h"

namespace ringlog::client {

namespace {

std::string joined(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& element : list) text += (text.empty() ? "" : ",") + element;
  return text;
}

std::string number_or_empty(int64_t number) { return number < 0 ? "" : std::to_string(number); }

// Milliseconds as the setting's seconds.
std::string monitor_text(int32_t ms) {
  if (ms < 0) return "off";
  if (ms == 0) return "1";
  std::string text = std::to_string(ms / 1000);
  if (ms % 1000 == 0) return text;
  text += "." + std::to_string(1000 + ms % 1000).substr(1);
  return text.substr(0, text.find_last_not_of('0') + 1);
}

template <size_t kCount, typename Choice>
std::string name_of(const std::array<const char*, kCount>& names, Choice choice) {
  return names.at(static_cast<size_t>(choice));
}

std::string value_of(const ResolvedSettings& s, std::string_view name) {
  if (name == "project") return s.project;
  if (name == "run_id") return s.run_id;
  if (name == "name") return s.name;
  if (name == "group") return s.group;
  if (name == "tags") return joined(s.tags);
  if (name == "notes") return s.notes;
  if (name == "dir") return s.dir;
  if (name == "mode") return s.mode;
  if (name == "rank") return number_or_empty(s.rank);
  if (name == "attempt") return number_or_empty(s.attempt);
  if (name == "ring_bytes") return std::to_string(s.ring_bytes);
  if (name == "full_ring") return name_of(std::array{"wait", "drop", "coalesce"}, s.full_ring);
  if (name == "full_ring_wait_ms") return std::to_string(s.full_ring_wait_ms);
  if (name == "durability") {
    return name_of(std::array{"committed", "stored", "synced", "sent"}, s.durability);
  }
  if (name == "console") return name_of(std::array{"auto", "off", "quiet"}, s.console);
  if (name == "strict") return s.strict ? "true" : "false";
  if (name == "in_process") return s.in_process ? "true" : "false";
  if (name == "sinks") return without_credentials(joined(s.sinks));
  if (name == "monitor") return monitor_text(s.monitor_ms);
  return name_of(std::array{"on", "no-diff", "off"}, s.surroundings);
}

}  // namespace

std::vector<record::SettingFact> setting_facts(const ResolvedSettings& settings) {
  constexpr size_t kTextMax = 4096;
  std::vector<record::SettingFact> facts;
  for (const std::string_view name : setting_names()) {
    const auto origin = settings.origin.find(std::string(name));
    facts.push_back(
        {std::string(name), as_utf8(value_of(settings, name), kTextMax),
         origin == settings.origin.end() ? "default" : as_utf8(origin->second, kTextMax)});
  }
  return facts;
}

}  // namespace ringlog::client
