// Samples of the machine: RunReader::system_series().

#include <ringlog/reader.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "reader/impl.h"

namespace ringlog {

Result<std::vector<SystemSeries>> RunReader::system_series(const SystemRequest& request) {
  std::map<std::string, SystemSeries> series;
  const auto is_wanted = [&](const std::string& name) {
    return request.names.empty() ||
           std::find(request.names.begin(), request.names.end(), name) != request.names.end();
  };
  const auto add = [&](const store::Stats& stats) {
    for (size_t name = 0; name < stats.names.size(); ++name) {
      if (!is_wanted(stats.names[name])) continue;
      SystemSeries& into = series[stats.names[name]];
      for (size_t at = 0; at < stats.samples(); ++at) {
        const double value = stats.sample(at)[name];
        const int64_t time = stats.times_ns[at];
        const bool is_outside = time < request.time_begin_ns || time > request.time_last_ns;
        if (is_outside || std::isnan(value)) continue;
        into.time_ns.push_back(time);
        into.value.push_back(value);
      }
    }
    return stats.times_ns.empty() || stats.times_ns.front() <= request.time_last_ns;
  };
  if (Status s = impl_->store->for_each_stats(request.time_begin_ns, add); !s) {
    return s.take_error();
  }
  std::vector<SystemSeries> out;
  for (auto& [name, found] : series) {
    found.name = name;
    if (!found.value.empty()) out.push_back(std::move(found));
  }
  return out;
}

}  // namespace ringlog
