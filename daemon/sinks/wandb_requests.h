#pragma once
// The requests of W&B's protocol: GraphQL mutations and file_stream, and what their answers say.
//
// Plain functions; safe from any thread.  Texts that are not UTF-8 are made so.

#include "daemon/sinks/wandb_batch.h"
#include "formats/wandb_run.h"
#include "schema/record.capnp.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ringlog::service {

// Whose run it is; empty: the server chooses.
struct WandbPlace {
  std::string entity{};
  std::string project{};
  std::string run{};
};

struct WandbAlert {
  std::string title;
  std::string text;
  std::string severity;
};
WandbAlert wandb_alert(schema::Alert::Reader alert);

// Bodies of POST /graphql.
//
// Declares or changes the run; with `is_whole` all that is known, else the config alone.
std::string upsert_body(const WandbPlace& place, const formats::WandbRun& run,
                        const std::string& config, bool is_whole);
std::string resume_body(const WandbPlace& place);
std::string alert_body(const WandbPlace& place, const WandbAlert& alert);
std::string files_body(const WandbPlace& place, const std::vector<std::string>& names);

// The path and the body of file_stream.
std::string stream_target(const WandbPlace& place);
struct WandbStream {
  const WandbBatch* batch = nullptr;
  uint64_t history = 0;  // line numbers of the first line of each
  uint64_t events = 0;
  uint64_t output = 0;
  std::string summary{};  // empty: as it was
  std::vector<std::string> uploaded{};
  std::optional<int32_t> exit_code{};  // the run has ended
};
std::string stream_body(const WandbStream& stream);

// What the server says of the run.
struct WandbAnswer {
  std::string error{};  // not empty: the rest is not there
  std::string entity{};
  std::string project{};
  bool is_new = true;
};
WandbAnswer read_upsert(std::string_view body);

struct WandbCounts {
  uint64_t history = 0;
  uint64_t events = 0;
  uint64_t output = 0;
};
// Lines that are there already; nothing: the answer does not say.
std::optional<WandbCounts> read_resume(std::string_view body);

struct WandbUrls {
  std::string error{};
  std::vector<std::string> headers{};                        // "Name:value" of every upload
  std::vector<std::pair<std::string, std::string>> files{};  // name, URL
};
WandbUrls read_urls(std::string_view body);

// The first error of an answer; empty: there is none.
std::string graphql_error(std::string_view body);
// Somebody asks the run to stop.
bool is_stopped(std::string_view body);

}  // namespace ringlog::service
