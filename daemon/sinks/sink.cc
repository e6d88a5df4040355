#include "daemon/sinks/sink.h"

#include "daemon/sinks/clickhouse_sink.h"
#include "daemon/sinks/file_sink.h"
#include "daemon/sinks/influx_sink.h"
#include "daemon/sinks/wandb_sink.h"

#include <array>
#include <utility>

namespace ringlog::service {

namespace {

// Makes the sink of a URL; without parts it only checks the URL.
using Make = Result<std::unique_ptr<Sink>> (*)(const std::string& url, const SinkParts* parts);

struct Scheme {
  std::string_view prefix;  // of the URL
  std::string_view form;    // for people
  Make make;
};

constexpr std::array kSchemes = {
    Scheme{"clickhouse+http", "clickhouse+http[s]://[user@]host:port/database",
           make_clickhouse_sink},
    Scheme{"influx+http", "influx+http[s]://[user@]host:port/database", make_influx_sink},
    Scheme{"wandb+http", "wandb+http[s]://host/entity/project", make_wandb_sink},
    Scheme{"jsonl+file://", "jsonl+file:///path", make_file_sink},
};

Result<std::unique_ptr<Sink>> make(const std::string& url, const SinkParts* parts) {
  std::string known;
  for (const Scheme& scheme : kSchemes) {
    if (url.starts_with(scheme.prefix)) return scheme.make(url, parts);
    known += (known.empty() ? "" : ", ") + std::string(scheme.form);
  }
  return Error{Code::kInvalidArgument,
               "sink " + shown_sink(url) + " is of an unknown kind; known are " + known};
}

}  // namespace

Result<std::unique_ptr<Sink>> make_sink(const std::string& url, const SinkParts& parts) {
  return make(url, &parts);
}

Status check_sink(const std::string& url) {
  auto sink = make(url, nullptr);
  if (!sink) return sink.take_error();
  return Done{};
}

}  // namespace ringlog::service
