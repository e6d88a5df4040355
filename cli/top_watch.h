#pragma once
// TopWatch: the service, looked at again and again: one request a look.
//
// Keeps its connection; after a service has ended it looks for the next one at each look, and
// starts none.  A value of one thread.

#include <ringlog/result.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cli/gauges.h"
#include "cli/top_model.h"

namespace ringlog::cli {

class TopWatch {
 public:
  // `dir`: of the only run that is of interest, whose service may be inside a program; empty: all.
  explicit TopWatch(std::string dir) : dir_(std::move(dir)) {}

  // The next frame; waits kGaugesWait at most.  Errors say why there is none, for people:
  //   kServiceGone  no service runs, or it has ended
  //   kNotFound     the run is not open
  //   kTimeout      it does not answer
  //   otherwise     as ControlClient
  Result<TopFrame> look();

 private:
  Status connect();

  std::string dir_;        // as the service calls it, once it is found
  bool is_found_ = false;  // later services are this user's, which take over what a program leaves
  std::unique_ptr<client::ControlClient> service_;
  std::optional<Gauges> before_;
};

}  // namespace ringlog::cli
