#include "daemon/sinks/influx_times.h"

#include <sstream>

namespace ringlog::service {

namespace {

constexpr int64_t kNsPerUs = 1000;
constexpr uint64_t kSeqsPerBlock = 1000;  // as many as there are ns in a us

int64_t floor_us(int64_t time_ns) { return time_ns / kNsPerUs - (time_ns % kNsPerUs < 0 ? 1 : 0); }

}  // namespace

InfluxTime InfluxTimes::take(const store::LaneId& lane, const Row& row) {
  const int64_t us = floor_us(row.time_ns);
  InfluxTime time{.ns = us * kNsPerUs + static_cast<int64_t>(row.seq % kSeqsPerBlock)};
  Latest& latest = lanes_[lane];
  if (us > latest.us) {
    latest = {us, row.seq};
  } else if (us < latest.us || row.seq >= latest.since + kSeqsPerBlock) {
    time.block = row.seq / kSeqsPerBlock;
  }
  return time;
}

std::string InfluxTimes::to_text() const {
  std::string text;
  for (const auto& [lane, latest] : lanes_) {
    text += std::to_string(lane.producer) + ' ' + std::to_string(lane.ring) + ' ' +
            std::to_string(latest.us) + ' ' + std::to_string(latest.since) + '\n';
  }
  return text;
}

Result<InfluxTimes> InfluxTimes::from_text(const std::string& text) {
  InfluxTimes times;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    store::LaneId lane{};
    Latest latest;
    if (!(words >> lane.producer >> lane.ring >> latest.us >> latest.since)) {
      return Error{Code::kCorrupt, "the cursor of an Influx sink: \"" + line + "\""};
    }
    times.lanes_[lane] = latest;
  }
  return times;
}

}  // namespace ringlog::service
