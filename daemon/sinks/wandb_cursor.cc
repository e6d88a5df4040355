#include "daemon/sinks/wandb_cursor.h"

#include <nlohmann/json.hpp>

namespace ringlog::service {

namespace {

using Json = nlohmann::json;

Json json_of_reach(const WandbReach& reach) {
  Json lanes = Json::array();
  for (const auto& [lane, seq] : reach.lanes) lanes.push_back({lane.producer, lane.ring, seq});
  return {{"lanes", std::move(lanes)},
          {"record", reach.record_lsn},
          {"stats_ns", reach.stats_ns},
          {"has_ranks", reach.has_ranks},
          {"ends_consoles", reach.ends_consoles}};
}

WandbReach reach_of(const Json& json) {
  WandbReach reach;
  for (const Json& lane : json.at("lanes")) {
    reach.lanes[{lane.at(0).get<uint32_t>(), lane.at(1).get<uint16_t>()}] = lane.at(2);
  }
  reach.record_lsn = json.at("record");
  reach.stats_ns = json.at("stats_ns");
  reach.has_ranks = json.at("has_ranks");
  reach.ends_consoles = json.at("ends_consoles");
  return reach;
}

}  // namespace

std::string to_text(const WandbCursor& cursor) {
  Json consoles = Json::array();
  for (const auto& [producer, at] : cursor.consoles) {
    consoles.push_back({producer, at.lsn, at.lines});
  }
  Json json = {{"entity", cursor.entity},       {"project", cursor.project},
               {"history", cursor.history},     {"events", cursor.events},
               {"output", cursor.output},       {"stats_ns", cursor.stats_ns},
               {"has_ranks", cursor.has_ranks}, {"is_complete", cursor.is_complete},
               {"step", cursor.step},           {"time_ns", cursor.time_ns},
               {"consoles", consoles},          {"files", cursor.files},
               {"alert", cursor.alert_lsn}};
  if (cursor.reach) json["reach"] = json_of_reach(*cursor.reach);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<WandbCursor> read_wandb_cursor(const std::string& text) try {
  const Json json = Json::parse(text);
  WandbCursor cursor;
  cursor.entity = json.at("entity");
  cursor.project = json.at("project");
  cursor.history = json.at("history");
  cursor.events = json.at("events");
  cursor.output = json.at("output");
  cursor.stats_ns = json.at("stats_ns");
  cursor.has_ranks = json.at("has_ranks");
  cursor.is_complete = json.at("is_complete");
  cursor.step = json.at("step");
  cursor.time_ns = json.at("time_ns");
  cursor.files = json.at("files");
  cursor.alert_lsn = json.value("alert", uint64_t{0});
  for (const Json& at : json.at("consoles")) {
    cursor.consoles[at.at(0).get<uint32_t>()] = {at.at(1), at.at(2)};
  }
  if (json.contains("reach")) cursor.reach = reach_of(json.at("reach"));
  return cursor;
} catch (const Json::exception& e) {
  return Error{Code::kCorrupt, std::string("the cursor of a W&B sink: ") + e.what()};
}

}  // namespace ringlog::service
