#pragma once
// What the command asks the running service, as plain values.
//
// Each call waits at most its timeout.  Nothing here starts a service.  One thread.

#include <ringlog/result.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "client/control_client.h"
#include "reader/live.h"

namespace ringlog::cli {

// A service that does not answer what it knows by heart within this time is stuck.
constexpr std::chrono::milliseconds kStatusWait{2'000};

// What it says of its runs, which the reader asks as well.
using reader::find_open_run;
using reader::kBarrierWait;
using reader::LiveRun;
using reader::LiveSink;
using reader::query_runs;

// Where a run is: `<root>/<project>/<run_id>`.
struct RunPath {
  std::string root;
  std::string project;
  std::string run_id;
};

struct ServiceStatus {
  int32_t pid = 0;
  int64_t started_ns = 0;
  std::string version;
  uint32_t epoch = 0;
  uint32_t threads = 0;
  std::string log;
  std::vector<LiveRun> runs;
};

// The service of this user, or nullptr when none is running or it refuses us.
std::unique_ptr<client::ControlClient> find_service();
// The same with the reason: errors as ControlClient::connect().
Result<std::unique_ptr<client::ControlClient>> connect_service();

// Errors of all below as ControlClient::call(), and kCorrupt for an answer to something else.
Result<ServiceStatus> ask_status(client::ControlClient& service, std::chrono::milliseconds timeout);
// What the ranks of a run agreed on.
struct AgreedStep {
  uint64_t step = 0;
  uint32_t ranks = 0;
  uint32_t asking = 0;  // of these, that ask once a step
  uint32_t late = 0;    // of these, that were past it
};
// Has the machine sampled each `interval` for `time` for this run.  As ask_agree().
Status ask_burst(client::ControlClient& service, const std::string& dir,
                 std::chrono::milliseconds interval, std::chrono::milliseconds time,
                 std::chrono::milliseconds timeout);
// Gives all ranks of the run one step at which they stop, or checkpoint.
Result<AgreedStep> ask_agree(client::ControlClient& service, const std::string& dir, bool is_stop,
                             std::chrono::milliseconds timeout);
// Has a stored run forwarded to these sinks until end_sync() or the end of the connection.
// kNotFound: no such run; kInvalidArgument: a URL; kBackpressure: too many runs are open; kIo: the
// store cannot be opened.
Result<LiveRun> ask_sync(client::ControlClient& service, const RunPath& run,
                         const std::vector<std::string>& sinks, std::chrono::milliseconds timeout);
// What becomes of it.  kNotFound: the service has it open no more.
Result<LiveRun> ask_run(client::ControlClient& service, const std::string& dir,
                        std::chrono::milliseconds timeout);
Status end_sync(client::ControlClient& service, const std::string& dir,
                std::chrono::milliseconds timeout);
// Asks the service to drain, store and end; answered when everything is stored.
Status ask_teardown(client::ControlClient& service, std::chrono::milliseconds timeout);

}  // namespace ringlog::cli
