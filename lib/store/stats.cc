#include "store/stats.h"

#include <capnp/message.h>

#include <algorithm>
#include <bit>

#include "schema/chunk.capnp.h"
#include "store/limits.h"
#include "store/model.h"
#include "store/packed.h"

namespace ringlog::store {

namespace {

std::string stats_text(capnp::Text::Reader text) { return {text.begin(), text.size()}; }

// Whole, whatever bytes it has.
capnp::Text::Reader whole(const std::string& text) { return {text.c_str(), text.size()}; }

template <typename List, typename Values>
void set_values(List list, const Values& values) {
  for (size_t i = 0; i < values.size(); ++i) list.set(static_cast<capnp::uint>(i), values[i]);
}

template <typename T>
capnp::uint stats_count(const std::vector<T>& list) {
  return static_cast<capnp::uint>(list.size());
}

StatsGpu read_gpu(schema::Stats::Gpu::Reader in) {
  StatsGpu gpu{in.getIndex(), stats_text(in.getUuid()), stats_text(in.getName()), {}};
  for (const int32_t rank : limited(in.getRanks(), kReadLanesMax)) gpu.ranks.push_back(rank);
  return gpu;
}

}  // namespace

bool Stats::operator==(const Stats& other) const {
  const auto is_same = [](double a, double b) {
    return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
  };
  return names == other.names && times_ns == other.times_ns && gpus == other.gpus &&
         std::equal(values.begin(), values.end(), other.values.begin(), other.values.end(),
                    is_same);
}

size_t Stats::bytes() const {
  size_t sum = values.size() * sizeof(double) + times_ns.size() * sizeof(int64_t);
  for (const std::string& name : names) sum += sizeof(std::string) + name.size();
  return sum;
}

std::string to_bytes(const Stats& value) {
  capnp::MallocMessageBuilder message;
  auto out = message.initRoot<schema::Stats>();
  auto names = out.initNames(stats_count(value.names));
  for (capnp::uint i = 0; i < names.size(); ++i) names.set(i, whole(value.names[i]));
  set_values(out.initTimesNs(stats_count(value.times_ns)), value.times_ns);
  set_values(out.initValues(stats_count(value.values)), value.values);
  auto gpus = out.initGpus(stats_count(value.gpus));
  for (capnp::uint i = 0; i < gpus.size(); ++i) {
    const StatsGpu& gpu = value.gpus[i];
    gpus[i].setIndex(gpu.index);
    gpus[i].setUuid(whole(gpu.uuid));
    gpus[i].setName(whole(gpu.name));
    set_values(gpus[i].initRanks(stats_count(gpu.ranks)), gpu.ranks);
  }
  return pack(message);
}

template <>
Result<Stats> from_bytes(std::string_view bytes) {
  Stats value;
  Status read = unpack<schema::Stats>(bytes, [&](auto in) -> Status {
    for (const auto name : limited(in.getNames(), kReadColumnsMax)) {
      value.names.push_back(stats_text(name));
    }
    for (const int64_t time : limited(in.getTimesNs(), kReadRowsMax)) {
      value.times_ns.push_back(time);
    }
    const auto values = in.getValues();
    if (values.size() != value.names.size() * value.times_ns.size()) {
      return Error{Code::kCorrupt, std::to_string(values.size()) + " values of " +
                                       std::to_string(value.names.size()) + " names in " +
                                       std::to_string(value.times_ns.size()) + " samples"};
    }
    for (const double number : values) value.values.push_back(number);
    for (const auto gpu : limited(in.getGpus(), kReadLanesMax)) {
      value.gpus.push_back(read_gpu(gpu));
    }
    return Done{};
  });
  if (!read) return read.take_error().in("system metrics");
  return value;
}

}  // namespace ringlog::store
