#include "cli/top_watch.h"

#include "client/runtime_dir.h"
#include "reader/live.h"

namespace ringlog::cli {

Status TopWatch::connect() {
  if (!dir_.empty() && !std::exchange(is_found_, true)) {
    auto open = reader::find_open_run(dir_, false, kGaugesWait);
    if (!open) return open.take_error();
    service_ = std::move(open->service);
    dir_ = std::move(open->run.dir);
    return Done{};
  }
  auto service = connect_service();
  if (service) {
    service_ = *std::move(service);
    return Done{};
  }
  if (service.error().code != Code::kServiceGone) return service.take_error();
  return Error{Code::kServiceGone, "the service is not running (" + client::runtime_dir() + ")"};
}

Result<TopFrame> TopWatch::look() {
  if (!service_) {
    if (Status s = connect(); !s) return s.take_error();
  }
  auto now = ask_gauges(*service_, dir_, kGaugesWait);
  if (now) {
    TopFrame frame = make_frame(before_ ? &*before_ : nullptr, *now);
    before_ = *std::move(now);
    return frame;
  }
  before_.reset();
  Error error = now.take_error();
  if (error.code == Code::kServiceGone) error.message = "the service has ended";
  // A run that is not open says nothing against the connection.
  if (error.code != Code::kNotFound) service_.reset();
  return error;
}

}  // namespace ringlog::cli
