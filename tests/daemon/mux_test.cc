// The StreamMux: runs that are opened and closed, processes that come and go, in orders that a real
// service meets once in a while.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "mux_fixture.h"

namespace ringlog::service {
namespace {

// Runs that are forwarded by request are closed the moment nobody wants them any more.
TEST_F(MuxTest, ARunThatIsLetGoTwiceIsClosedOnce) {
  {
    RowStore store(dir_of("run"));
    store.add(10);
  }
  RunSpec spec = spec_of("run");
  spec.sinks = {"jsonl+file://" + dir_.file("out.jsonl")};
  const auto first = std::make_shared<SyncClient>(SyncClient{1});
  const auto second = std::make_shared<SyncClient>(SyncClient{2});
  EXPECT_THAT(ask<std::vector<RunStatus>>([&](auto reply) { mux_.sync(spec, first, reply); }),
              IsOk());
  mux_.end_sync(dir_of("run"), *first);
  wait_for_threads();
  mux_.sync(spec, second, [](const auto&) {});
  wait_for_threads();
  mux_.end_sync(dir_of("run"), *second);
  wait_for_threads();
  loop_.run_until([this] { return mux_.is_idle(); });
  RowStore free(dir_of("run"));  // throws while somebody has it
}

}  // namespace
}  // namespace ringlog::service
