#pragma once
// What `ringlog top` shows: the last look at the service, and the rates that it and the look before
// make together.
//
// Plain values and functions of their arguments; safe from any thread.

#include <cstdint>
#include <optional>
#include <vector>

#include "cli/gauges.h"

namespace ringlog::cli {

// Per second.  Nothing: there is no look before, or it was at another service, or the counter went
// back.
using Rate = std::optional<double>;

struct TopProducer {
  ProducerGauges now;
  Rate logged;
  Rate stored;
  Rate dropped;
  // The fullest of its rings, as a part of its room.
  double fill() const;
};

struct TopSink {
  LiveSink now;
  Rate sent;
};

struct TopRun {
  RunGauges now;  // but for its producers and sinks, which stand below
  Rate logged;
  Rate stored;
  Rate dropped;
  std::vector<TopProducer> producers{};
  std::vector<TopSink> sinks{};
};

struct TopFrame {
  Gauges now;             // but for its runs, which stand below
  Rate cpu;               // processors that the service kept busy: seconds a second
  double interval_s = 0;  // between the two looks; 0: there is one only
  std::vector<TopRun> runs{};
};

// `before` may be of another service, whose counters say nothing.
TopFrame make_frame(const Gauges* before, Gauges now);

// What the busiest process is.
enum class TopOrder { kRate, kFill, kDropped, kRank };

// Processes of all runs, the first in this order first.
struct TopEntry {
  const TopRun* run = nullptr;
  const TopProducer* producer = nullptr;
};
std::vector<TopEntry> order_producers(const TopFrame& frame, TopOrder order);

}  // namespace ringlog::cli
