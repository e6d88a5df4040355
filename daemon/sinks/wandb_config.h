#pragma once
// The config of a run as W&B keeps it, and the files that its own client uploads besides.
//
// Plain functions; safe from any thread.

#include "formats/wandb_run.h"
#include "store/metric_rules.h"

#include <cstdint>
#include <set>
#include <string>

namespace ringlog::service {

// {"lr":{"value":0.1},…,"_wandb":{"value":{"m":[…],"e":{…}}}}: what the user set; how metrics are
// shown, by name or, in a run of several `ranks`, for each of them; and what surrounds the program.
std::string config_json(const formats::WandbRun& run, const store::MetricRules& rules,
                        const std::set<int32_t>& ranks);
// The same as the file config.yaml.
std::string config_yaml(const formats::WandbRun& run, const store::MetricRules& rules,
                        const std::set<int32_t>& ranks);
// The file wandb-metadata.json.
std::string metadata_json(const formats::WandbRun& run);

}  // namespace ringlog::service
