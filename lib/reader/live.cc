#include "reader/live.h"

#include <capnp/message.h>

#include <chrono>

#include "client/control_client.h"
#include "client/runtime_dir.h"

namespace ringlog::reader {

namespace {

// A service that does not store within this time is busy or stopped.
constexpr std::chrono::milliseconds kBarrierWait{500};

}  // namespace

void ask_to_store(const std::string& run_id) {
  auto service = client::ControlClient::connect(client::runtime_dir());
  if (!service) return;
  capnp::MallocMessageBuilder message;
  auto query = message.initRoot<schema::ControlRequest>().initQuery();
  query.setRunId(run_id);
  query.setBarrier(true);
  (void)(*service)->call(message, {}, kBarrierWait);
}

}  // namespace ringlog::reader
