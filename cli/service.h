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

namespace ringlog::cli {

// A service that does not answer what it knows by heart within this time is stuck.
constexpr std::chrono::milliseconds kStatusWait{2'000};
// A service that does not store within this time is busy or stopped; what it stored is shown then.
constexpr std::chrono::milliseconds kBarrierWait{500};

struct LiveProducer {
  int32_t rank = 0;
  int32_t attempt = 0;
  uint32_t worker = 0;
  int32_t pid = 0;
  std::string state;
  uint64_t backlog_bytes = 0;  // committed, not yet stored
};

struct LiveSink {
  std::string url;
  std::string state;
  uint64_t sent_rows = 0;
  uint64_t lag_rows = 0;
  std::string last_error;
};

// A run that the service has open.
struct LiveRun {
  std::string run_id;
  std::string project;
  std::string dir;
  std::string state;
  std::vector<LiveProducer> producers;
  std::vector<LiveSink> sinks;

  // Producers that still may log.
  uint64_t live_count() const;
  // Of all its producers.
  uint64_t backlog_bytes() const;
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
// The open run of that id, or all with an empty one.  With `barrier` the answer comes after all
// that is committed now is stored.  kNotFound: the service has no such run open.
Result<std::vector<LiveRun>> query_runs(client::ControlClient& service, const std::string& run_id,
                                        bool barrier, std::chrono::milliseconds timeout);
Status ask_stop(client::ControlClient& service, const std::string& run_id,
                std::chrono::milliseconds timeout);
// Asks the service to drain, store and end; answered when everything is stored.
Status ask_teardown(client::ControlClient& service, std::chrono::milliseconds timeout);

}  // namespace ringlog::cli
