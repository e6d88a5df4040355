#include "cli/top_model.h"

#include <algorithm>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace ringlog::cli {

namespace {

// Makes rates of counters of two looks.
class Rates {
 public:
  // `time_s` is 0 when the first look says nothing.
  explicit Rates(double time_s) : time_s_(time_s) {}

  Rate of(uint64_t before, uint64_t now) const {
    if (time_s_ <= 0 || now < before) return {};
    return static_cast<double>(now - before) / time_s_;
  }
  // The same of one counter of two things, of which the first may not have been there.
  template <typename T, typename Counter>
  Rate of(const T* before, const T& now, Counter T::*counter) const {
    return before == nullptr ? Rate() : of(before->*counter, now.*counter);
  }

 private:
  const double time_s_;
};

double time_between(const Gauges* before, const Gauges& now) {
  if (before == nullptr || before->epoch != now.epoch || before->pid != now.pid) return 0;
  return static_cast<double>(std::max<int64_t>(now.time_ns - before->time_ns, 0)) / 1e9;
}

TopRun make_run(const RunGauges* before, RunGauges now, const Rates& rates) {
  TopRun run{{},
             rates.of(before, now, &RunGauges::logged),
             rates.of(before, now, &RunGauges::stored),
             rates.of(before, now, &RunGauges::dropped)};
  std::unordered_map<uint32_t, const ProducerGauges*> producers;
  std::unordered_map<std::string_view, const LiveSink*> sinks;
  if (before != nullptr) {
    for (const ProducerGauges& producer : before->producers) {
      producers[producer.producer] = &producer;
    }
    for (const LiveSink& sink : before->sinks) sinks[sink.url] = &sink;
  }
  for (ProducerGauges& producer : std::exchange(now.producers, {})) {
    const auto found = producers.find(producer.producer);
    const ProducerGauges* const old = found == producers.end() ? nullptr : found->second;
    const Rate logged = rates.of(old, producer, &ProducerGauges::logged);
    const Rate stored = rates.of(old, producer, &ProducerGauges::stored);
    const Rate dropped = rates.of(old, producer, &ProducerGauges::dropped);
    run.producers.push_back({std::move(producer), logged, stored, dropped});
  }
  for (LiveSink& sink : std::exchange(now.sinks, {})) {
    const auto found = sinks.find(sink.url);
    const LiveSink* const old = found == sinks.end() ? nullptr : found->second;
    const Rate sent = rates.of(old, sink, &LiveSink::sent_rows);
    run.sinks.push_back({std::move(sink), sent});
  }
  run.now = std::move(now);
  return run;
}

}  // namespace

double TopProducer::fill() const {
  double fullest = 0;
  for (const RingGauges& ring : now.rings) {
    if (ring.capacity == 0) continue;
    fullest = std::max(fullest,
                       static_cast<double>(ring.used_bytes) / static_cast<double>(ring.capacity));
  }
  return fullest;
}

TopFrame make_frame(const Gauges* before, Gauges now) {
  TopFrame frame;
  frame.interval_s = time_between(before, now);
  const Rates rates(frame.interval_s);
  if (before != nullptr) {
    if (const Rate ns = rates.of(before->cpu_ns, now.cpu_ns)) frame.cpu = *ns / 1e9;
  }
  std::unordered_map<std::string_view, const RunGauges*> runs;
  if (before != nullptr) {
    for (const RunGauges& run : before->runs) runs[run.dir] = &run;
  }
  for (RunGauges& run : std::exchange(now.runs, {})) {
    const auto found = runs.find(run.dir);
    frame.runs.push_back(
        make_run(found == runs.end() ? nullptr : found->second, std::move(run), rates));
  }
  frame.now = std::move(now);
  return frame;
}

std::vector<TopEntry> order_producers(const TopFrame& frame, TopOrder order) {
  std::vector<TopEntry> entries;
  for (const TopRun& run : frame.runs) {
    for (const TopProducer& producer : run.producers) entries.push_back({&run, &producer});
  }
  // Smaller comes first.
  const auto key = [order](const TopEntry& entry) {
    const TopProducer& producer = *entry.producer;
    double busy = 0;
    if (order == TopOrder::kRate) busy = producer.logged.value_or(0);
    if (order == TopOrder::kFill) busy = producer.fill();
    if (order == TopOrder::kDropped) busy = static_cast<double>(producer.now.dropped);
    return std::tuple(-busy, producer.now.rank, producer.now.worker, producer.now.attempt);
  };
  std::stable_sort(entries.begin(), entries.end(),
                   [&](const TopEntry& a, const TopEntry& b) { return key(a) < key(b); });
  return entries;
}

}  // namespace ringlog::cli
