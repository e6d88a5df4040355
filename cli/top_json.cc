// What `ringlog top --json` says of one interval.

#include "cli/top_page.h"
#include "shm/posix.h"

namespace ringlog::cli {

namespace {

Json number(const Rate& rate) { return rate ? Json(*rate) : Json(nullptr); }

double seconds(uint64_t ms) { return static_cast<double>(ms) / 1e3; }

Json json_of(const TopProducer& producer) {
  const ProducerGauges& now = producer.now;
  Json rings = Json::array();
  for (const RingGauges& ring : now.rings) {
    rings.push_back({{"used_bytes", ring.used_bytes},
                     {"capacity_bytes", ring.capacity},
                     {"poisoned", ring.is_poisoned}});
  }
  Json json = {{"rank", now.rank},
               {"attempt", now.attempt},
               {"worker", now.worker},
               {"pid", now.pid},
               {"fill", producer.fill()}};
  json["rings"] = std::move(rings);
  json["logged"] = now.logged;
  json["logged_per_s"] = number(producer.logged);
  json["stored"] = now.stored;
  json["stored_per_s"] = number(producer.stored);
  json["dropped"] = now.dropped;
  json["dropped_per_s"] = number(producer.dropped);
  json["waiting"] = now.is_waiting;
  json["waited"] = static_cast<double>(now.waited_ns) / 1e9;
  return json;
}

Json json_of(const TopSink& sink) {
  const LiveSink& now = sink.now;
  Json json = {{"url", now.url}, {"state", now.state}, {"sent", now.sent_rows}};
  json["sent_per_s"] = number(sink.sent);
  json["lag"] = now.lag_rows;
  json["behind"] = seconds(now.lag_ms);
  json["left_out"] = now.left_out_rows;
  json["error"] = now.last_error;
  return json;
}

Json json_of(const TopRun& run) {
  const RunGauges& now = run.now;
  Json json = {{"id", now.run_id},   {"project", now.project}, {"dir", now.dir},
               {"state", now.state}, {"live", now.live},       {"logged", now.logged}};
  json["logged_per_s"] = number(run.logged);
  json["stored"] = now.stored;
  json["stored_per_s"] = number(run.stored);
  json["dropped"] = now.dropped;
  json["dropped_per_s"] = number(run.dropped);
  json["backlog_bytes"] = now.backlog_bytes;
  json["lag"] = seconds(now.lag_ms);
  json["store_error"] = now.store_error;
  Json producers = Json::array();
  for (const TopProducer& producer : run.producers) producers.push_back(json_of(producer));
  json["producers"] = std::move(producers);
  json["producers_left_out"] = now.producers_left_out;
  Json sinks = Json::array();
  for (const TopSink& sink : run.sinks) sinks.push_back(json_of(sink));
  json["sinks"] = std::move(sinks);
  return json;
}

Json service_json(const TopFrame& frame, int64_t realtime_ns) {
  const Gauges& now = frame.now;
  Json json = {{"pid", now.pid}, {"started", json_seconds(now.started_ns)}};
  json["uptime"] = static_cast<double>(realtime_ns - now.started_ns) / 1e9;
  json["version"] = now.version;
  json["epoch"] = now.epoch;
  json["threads"] = now.threads;
  json["cpu"] = number(frame.cpu);
  json["memory_bytes"] = now.memory_bytes;
  return json;
}

}  // namespace

Json top_json(const TopFrame* frame, const std::string& error, int64_t realtime_ns) {
  Json json = {{"time", json_seconds(realtime_ns)}};
  json["interval"] =
      frame != nullptr && frame->interval_s > 0 ? Json(frame->interval_s) : Json(nullptr);
  json["service"] = frame != nullptr ? service_json(*frame, realtime_ns) : Json(nullptr);
  json["error"] = error;
  Json runs = Json::array();
  if (frame != nullptr) {
    for (const TopRun& run : frame->runs) runs.push_back(json_of(run));
  }
  json["runs"] = std::move(runs);
  json["sinks_left_out"] = frame != nullptr ? frame->now.sinks_left_out : 0;
  json["sinks_unknown"] = frame != nullptr && frame->now.is_sinks_unknown;
  return json;
}

}  // namespace ringlog::cli
