#pragma once
// WandbAlerts: the alerts of a run, each on its way by itself.
//
// People are told once, so an alert is no part of a batch, which may be sent again, and rows do not
// wait for it.  Alerts go one after another in the order of the store; one that the server answers
// with an error is tried again by itself, and in the end left out and said.  done_lsn() goes into
// the cursor: a service that dies between an answer and that repeats one alert at most.
//
// Belongs to its sink on the network thread; a request under way is cut off with it.

#include "daemon/sinks/http_sink.h"
#include "daemon/sinks/wandb_requests.h"
#include "store/reader.h"

#include <cstdint>
#include <deque>
#include <string>

namespace ringlog::service {

class WandbAlerts {
 public:
  WandbAlerts(HttpTransport& http, const HttpServer& server) : http_(http), server_(server) {}
  ~WandbAlerts();
  WandbAlerts(const WandbAlerts&) = delete;
  WandbAlerts& operator=(const WandbAlerts&) = delete;

  // Alerts before this were passed on.
  void start_at(uint64_t lsn) { done_lsn_ = read_lsn_ = lsn; }
  uint64_t done_lsn() const { return done_lsn_; }
  // Takes what is new in a view of the store, as long as there is room.  Errors as the reader.
  Status read(store::RunReader& reader);
  // Sends the next one if it is time; monotonic.
  void step(const WandbPlace& place, int64_t now_ms);
  bool is_idle() const { return waiting_.empty(); }
  // When to look again (monotonic); 0: there is nothing to do.
  int64_t due_ms(int64_t now_ms) const;

 private:
  struct Waiting {
    uint64_t lsn = 0;
    WandbAlert alert;
  };
  void on_answer(const HttpAnswer& answer);
  void drop_first();

  HttpTransport& http_;
  const HttpServer& server_;
  uint64_t call_ = 0;            // under way; 0: none
  std::deque<Waiting> waiting_;  // the first is under way, or was last
  uint64_t read_lsn_ = 0;        // records before this were looked at
  uint64_t done_lsn_ = 0;
  int tries_ = 0;            // of the first, that were answered
  int failures_ = 0;         // in a row
  bool has_failed_ = false;  // since the last step()
  int64_t next_try_ms_ = 0;
};

}  // namespace ringlog::service
