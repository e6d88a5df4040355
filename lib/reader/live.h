#pragma once
// What the running service says of the runs that it has open, as plain values.
//
// Each call waits at most its timeout.  Nothing here starts a service.  Any thread, each with a
// client of its own.

#include <ringlog/result.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "client/control_client.h"

namespace ringlog::reader {

// A service that does not store within this time is busy or stopped; what it stored is shown then.
constexpr std::chrono::milliseconds kBarrierWait{500};

struct LiveProducer {
  int32_t rank = 0;
  int32_t attempt = 0;
  uint32_t worker = 0;
  int32_t pid = 0;
  std::string state{};
  uint64_t backlog_bytes = 0;  // committed, not yet stored
  uint64_t stored_rows = 0;
};

struct LiveSink {
  std::string url{};
  std::string state{};
  uint64_t sent_rows = 0;
  uint64_t lag_rows = 0;
  std::string last_error{};
  uint64_t left_out_rows = 0;
  // Looks at the store, by number: which one the last sync asked for, which one is sent whole.
  uint64_t looks_wanted = 0;
  uint64_t looks_sent = 0;
  uint64_t lag_ms = 0;  // age of the oldest row that is stored and not sent; 0: all are sent
};

// A run that the service has open.
struct LiveRun {
  std::string run_id{};
  std::string project{};
  std::string dir{};
  std::string state{};
  std::vector<LiveProducer> producers;
  std::vector<LiveSink> sinks;

  // Producers that still may log.
  uint64_t live_count() const;
  // Of all its producers.
  uint64_t backlog_bytes() const;
  uint64_t stored_rows() const;
};

// As the service's messages say it.  They throw kj::Exception when these are malformed: call them
// inside record::try_read().
LiveSink live_sink(schema::SinkStatus::Reader from);
LiveRun live_run(schema::RunStatus::Reader from);

// The runs of an answer to a question about them.  kCorrupt: it answers something else.
Result<std::vector<LiveRun>> read_runs(Result<client::ControlAnswer> answer);

// The open run in that directory, or all with an empty one.  With `barrier` the answer comes after
// all that is committed now is stored.  kNotFound: the service has no such run open.  kCorrupt: it
// answered something else.  Others as ControlClient::call().
Result<std::vector<LiveRun>> query_runs(client::ControlClient& service, const std::string& dir,
                                        bool barrier, std::chrono::milliseconds timeout);

// A run that is open, and in which service: this user's, or one inside a program.
struct OpenRun {
  std::unique_ptr<client::ControlClient> service;
  LiveRun run;  // its `dir` is what that service calls it
};
// The run in that directory, whatever it is called (symbolic links); with `barrier` as
// query_runs().
//   kServiceGone  there is no service at all
//   kNotFound     none has it open
//   otherwise     as ControlClient::connect() and query_runs()
Result<OpenRun> find_open_run(const std::string& dir, bool barrier,
                              std::chrono::milliseconds timeout);

// Who sees to it that what is committed to a run gets into its store.
enum class Served {
  kNot,  // no service has it open
  kYes,  // all that was committed when it was asked is in the store
  kLate  // a service has it, or may have it, and did not answer in time
};
// Before a run is looked at: asks its service to store what was committed, for at most
// kBarrierWait.  Failing is no error: the store can be read whatever the service does.
Served ask_to_store(const std::string& dir);

}  // namespace ringlog::reader
