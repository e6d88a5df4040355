// A system that has no room for another thread: what needs one says so, and everything else goes
// on.

#include "daemon/thread.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "daemon/service.h"
#include "mux_fixture.h"
#include "no_more_threads.h"

namespace ringlog::service {
namespace {

namespace fs = std::filesystem;
using test::NoMoreThreads;
using ::testing::HasSubstr;

TEST(Thread, ThatCannotBeMadeIsAnErrorThatNamesIt) {
  {
    const NoMoreThreads no_more;
    const auto thread = start_thread("a name", [] {});
    ASSERT_THAT(thread, FailsWith(Code::kIo));
    EXPECT_THAT(thread.error().message, HasSubstr("a name"));
  }
  bool has_run = false;
  auto thread = start_thread("a name", [&] { has_run = true; });
  ASSERT_THAT(thread, IsOk());
  thread->join();
  EXPECT_TRUE(has_run);
}

TEST(Thread, AServiceThatGetsNoneDoesNotListen) {
  const test::Watchdog watchdog;
  const test::TempDir dir("/dev/shm");
  auto place = claim_runtime_dir(dir.file("runtime"));
  ASSERT_THAT(place, IsOk());
  const NoMoreThreads no_more;
  const auto service = Service::start(**place, {});
  ASSERT_THAT(service, FailsWith(Code::kIo));
  EXPECT_THAT(service.error().message, HasSubstr("network"));
  EXPECT_FALSE(fs::exists((*place)->path + "/service.sock"));
}

// The work tree is one, so that its diff is wanted, too.
TEST_F(MuxTest, ARunForWhichNoThreadIsLeftIsLoggedToAllTheSame) {
  const std::string tree = dir_.file("tree");
  fs::create_directory(tree);
  const std::string git = "git -C " + tree + " -c user.name=a -c user.email=a@b ";
  std::ofstream(tree + "/file") << "before\n";
  ASSERT_EQ(std::system((git + "init -q && " + git + "add . && " + git + "commit -qm x").c_str()),
            0);
  std::ofstream(tree + "/file") << "after\n";
  const auto join_from_tree = [&](const std::string& run_id) {
    RunSpec spec = spec_of(run_id);
    spec.work_tree = tree;
    return ask<Attached>([&](auto reply) { mux_.inform_init(spec, peer(), std::move(reply)); });
  };
  {
    const NoMoreThreads no_more;
    auto joined = join_from_tree("run");
    ASSERT_THAT(joined, IsOk());
    Producer process(std::move(joined->segment_fd));
    process.register_keys(0, 64, {"a"});
    ASSERT_TRUE(process.log(0, 64, {1}));
    ASSERT_THAT(barrier("run"), IsOk());
    EXPECT_EQ(ledger("run").at(0).stored, 1u);
  }
  ASSERT_THAT(join_from_tree("other"), IsOk());
  while (!fs::exists(dir_of("other") + "/files/diff.patch")) std::this_thread::yield();
  EXPECT_FALSE(fs::exists(dir_of("run") + "/files/diff.patch"));
}

TEST(Thread, AMonitorThatGetsNoneSamplesAllRunsOnceAnotherOneComes) {
  const test::Watchdog watchdog;
  const test::TempDir dir;
  const SystemClock clock;
  LargeReplies large;
  const auto open = [&](const std::string& run_id) {
    auto store = store::Store::open(dir.file(run_id));
    EXPECT_THAT(store, IsOk());
    auto stream =
        std::make_shared<Stream>(RunInfo{run_id, "", "", dir.file(run_id)}, std::move(*store),
                                 store::RunMeta{}, std::vector<store::ProducerState>{},
                                 std::vector<store::KeySet>{}, large, clock, IntakeEvents{});
    ProducerSpec spec;
    spec.rank = 0;
    Peer self;
    self.pid = ::getpid();
    EXPECT_THAT(stream->board.join(spec, self, "", 1), IsOk());
    return stream;
  };
  const auto first = open("first");
  const auto second = open("second");
  std::promise<void> sampled;
  bool is_sampled = false;
  MonitorPlaces places;
  places.nvml.clear();
  Monitor monitor(places, clock, [&](const std::shared_ptr<Stream>& stream, const store::Stats&) {
    if (stream == first && !std::exchange(is_sampled, true)) sampled.set_value();
  });
  {
    const NoMoreThreads no_more;
    monitor.add(first);
  }
  monitor.add(second);
  sampled.get_future().wait();
}

}  // namespace
}  // namespace ringlog::service
