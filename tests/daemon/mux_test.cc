// The StreamMux: runs that are opened and closed, processes that come and go, in orders that a real
// service meets once in a while.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "mux_fixture.h"
#include "store/keys.h"
#include "tests/store/lost_key.h"

namespace ringlog::service {
namespace {

using ::testing::HasSubstr;

// Nobody listens there.
constexpr const char* kDeadSink = "influx+http://127.0.0.1:1/db";

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
  settle("run");
  mux_.end_sync(dir_of("run"), *first);
  wait_for_threads();
  mux_.sync(spec, second, [](const auto&) {});
  wait_for_threads();
  mux_.end_sync(dir_of("run"), *second);
  wait_for_threads();
  loop_.run_until([this] { return mux_.is_idle(); });
  RowStore free(dir_of("run"));  // throws while somebody has it
}

// Asked for between the look that found it empty and the one that takes it away.
TEST_F(MuxTest, ARunThatIsAskedForWhileItClosesStaysOpenForTheAnswer) {
  {
    RowStore store(dir_of("run"));
    store.add(10);
  }
  RunSpec spec = spec_of("run");
  spec.sinks = {"jsonl+file://" + dir_.file("out.jsonl")};
  const auto client = std::make_shared<SyncClient>(SyncClient{1});
  ASSERT_THAT(ask<std::vector<RunStatus>>([&](auto reply) { mux_.sync(spec, client, reply); }),
              IsOk());
  settle("run");
  mux_.end_sync(dir_of("run"), *client);
  wait_for_threads();
  wait_for_threads();
  // The drain thread stands still, so that it meets the question and the end together.
  std::promise<void> stands;
  std::promise<void> gate;
  drain_.post([&] {
    stands.set_value();
    gate.get_future().wait();
  });
  stands.get_future().wait();
  std::unique_ptr<Result<std::vector<RunStatus>>> answer;
  mux_.query({.dir = dir_of("run")}, true, [&](Result<std::vector<RunStatus>> runs) {
    answer = std::make_unique<Result<std::vector<RunStatus>>>(std::move(runs));
  });
  loop_.run();  // it is being closed
  EXPECT_THAT(barrier("run"), FailsWith(Code::kNotFound));
  gate.set_value();
  loop_.run_until([&] { return answer != nullptr; });
  ASSERT_THAT(*answer, IsOk());
  EXPECT_EQ((*answer)->size(), 1u);
  mux_.keep_house();
  loop_.run_until([this] { return mux_.is_idle(); });
}

// The sinks are not to blame, and there is nobody else who would try it again.
TEST_F(MuxTest, AnUnsentRunWhoseTurnComesWhileItIsOpenedInVainIsTriedLater) {
  auto held = std::make_unique<RowStore>(dir_of("run"));
  held->add(1);
  mux_.add_unsent({dir_of("run"), {kDeadSink}});
  std::unique_ptr<Result<Attached>> answer;
  mux_.inform_init(spec_of("run"), peer(), [&](Result<Attached> attached) {
    answer = std::make_unique<Result<Attached>>(std::move(attached));
  });
  mux_.keep_house();
  loop_.run_until([&] { return answer != nullptr; });
  EXPECT_THAT(*answer, FailsWith(Code::kIo));
  ASSERT_TRUE(backlog_.has(dir_of("run")));
  loop_.advance(2 * kSinkRetryMaxMs);
  const auto next = backlog_.next();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->dir, dir_of("run"));
}

TEST_F(MuxTest, AnUnsentRunThatIsWantedWhileItClosesAndDoesNotOpenAgainIsTriedLater) {
  {
    RowStore store(dir_of("run"));
    store::Commit commit = store.next(1);
    commit.meta->sinks = {kDeadSink};
    ASSERT_THAT(store.store->write(commit, false), IsOk());
  }
  mux_.add_unsent({dir_of("run"), {kDeadSink}});
  mux_.keep_house();
  settle("run");
  mux_.keep_house();
  loop_.advance(kStreamLingerMs);
  // It is not closed before the sink was tried, and then not for as long as the store thread stands
  // still.
  const auto is_open = [&] {
    bool is_known = false;
    mux_.inform_start("run", {}, [&](const auto& known) { is_known = static_cast<bool>(known); });
    return is_known;
  };
  std::unique_ptr<std::promise<void>> gate;
  do {
    if (gate) gate->set_value();
    gate = std::make_unique<std::promise<void>>();
    writer_.post([opened = gate->get_future().share()] { opened.wait(); });
    mux_.keep_house();
    wait_for(network_);
    wait_for(drain_);
    loop_.run();
  } while (is_open());
  std::unique_ptr<Result<Attached>> answer;
  mux_.inform_init(spec_of("run"), peer(), [&](Result<Attached> attached) {
    answer = std::make_unique<Result<Attached>>(std::move(attached));
  });
  gate->set_value();
  std::unique_ptr<RowStore> held;
  while (!held) {
    try {
      held = std::make_unique<RowStore>(dir_of("run"));
    } catch (const std::runtime_error&) {
      std::this_thread::yield();  // it is being closed
    }
  }
  loop_.run_until([&] { return answer != nullptr; });
  EXPECT_THAT(*answer, FailsWith(Code::kIo));
  loop_.advance(2 * kSinkRetryMaxMs);
  const auto next = backlog_.next();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->dir, dir_of("run"));
}

// Its process asked twice because it was not told in time, or has two handles of one run.
TEST_F(MuxTest, ASegmentThatIsHandedBackTwiceIsReadOnce) {
  auto made = make_segment("run", 1);
  auto again = shm::duplicate(made.fd.get());
  ASSERT_THAT(again, IsOk());
  auto own = shm::duplicate(made.fd.get());
  ASSERT_THAT(own, IsOk());
  Producer process(std::move(*own));
  process.register_keys(0, 64, {"a"});
  for (uint64_t i = 0; i < 10; ++i) ASSERT_TRUE(process.log(0, 64, {i}));
  int answers = 0;
  const auto count = [&](const Result<std::string>& uuid) {
    EXPECT_THAT(uuid, IsOk());
    ++answers;
  };
  mux_.resume("", std::move(made.fd), peer(), count);
  mux_.resume("", std::move(*again), peer(), count);
  EXPECT_EQ(answers, 2);
  ASSERT_THAT(barrier("run"), IsOk());
  const auto entries = ledger("run");
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].producer.rings.at(0).stored, 10u);
  EXPECT_EQ(entries[0].duplicated, 0u);
  EXPECT_TRUE(entries[0].ok());
}

// The store did not know it when the service before died, and could not be opened by this one.
TEST_F(MuxTest, ASegmentThatWaitsForItsRunKeepsItsNumberAndItsRank) {
  auto made = make_segment("run", 1);
  const std::string path = made.path;
  auto own = shm::duplicate(made.fd.get());
  ASSERT_THAT(own, IsOk());
  Producer process(std::move(*own));
  process.register_keys(0, 64, {"a"});
  ASSERT_TRUE(process.log(0, 64, {1}));
  auto held = std::make_unique<RowStore>(dir_of("run"));
  auto found = read_segment(std::move(made.fd), path);
  ASSERT_THAT(found, IsOk());
  const std::string uuid(shm::header_text(found->header.uuid));
  mux_.adopt(std::move(*found));
  EXPECT_FALSE(join("run")) << "somebody else has the store";
  EXPECT_TRUE(mux_.has_segment(uuid));
  held.reset();
  auto newcomer = join("run");
  ASSERT_THAT(newcomer, IsOk());
  EXPECT_EQ(newcomer->producer, 2u);
  EXPECT_EQ(std::pair(newcomer->rank, newcomer->attempt), std::pair(1, 0));
  loop_.advance(kOrphanRetryMs);
  mux_.keep_house();
  ASSERT_THAT(barrier("run"), IsOk());
  EXPECT_TRUE(std::filesystem::exists(path)) << "nor is it put aside";
  EXPECT_EQ(ledger("run").at(0).stored, 1u);
}

// Its memory went with the machine, and with it nobody knows how many rows.  Or only the folder was
// not there when its run was opened: what is found later is read and counts after all.
TEST_F(MuxTest, AnEndThatNobodyReadIsNotWellUntilItIsRead) {
  auto made = make_segment("run", 1);
  auto own = shm::duplicate(made.fd.get());
  ASSERT_THAT(own, IsOk());
  Producer process(std::move(*own));
  process.register_keys(0, 64, {"a"});
  for (uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(process.log(0, 64, {i}));
  auto found = read_segment(std::move(made.fd), made.path);
  ASSERT_THAT(found, IsOk());
  store::Commit known;
  known.meta.emplace().run_id = "run";
  known.producers.push_back(state_of(found->header));
  known.producers[0].pid_start += 1;  // that process is dead
  ASSERT_THAT(RowStore(dir_of("run")).store->write(known, false), IsOk());
  ASSERT_THAT(join("run"), IsOk());
  ASSERT_THAT(barrier("run"), IsOk());
  EXPECT_EQ(ledger("run").at(0).producer.state, "crashed");
  EXPECT_EQ(ledger("run").at(0).missing, 0u);
  EXPECT_FALSE(ledger("run").at(0).ok());
  mux_.adopt(std::move(*found));
  loop_.run();  // it is seen to be dead
  ASSERT_THAT(barrier("run"), IsOk());
  EXPECT_EQ(ledger("run").at(0).stored, 3u);
  EXPECT_TRUE(ledger("run").at(0).ok());
  EXPECT_EQ(ledger("run").at(0).producer.cause, "it vanished; the cause is unknown");
}

// A ring on disk whose machine lost its power: its pages were written back in any order.
TEST_F(MuxTest, ASegmentOfAnEarlierBootIsNotReadAndThatIsKept) {
  auto made = make_segment("run", 1);
  auto own = shm::duplicate(made.fd.get());
  ASSERT_THAT(own, IsOk());
  Producer process(std::move(*own));
  process.register_keys(0, 64, {"a"});
  ASSERT_TRUE(process.log(0, 64, {1}));
  const std::string boot_id = "6b1c5a52-0000-4000-8000-000000000000";
  ASSERT_EQ(::pwrite(made.fd.get(), boot_id.data(), boot_id.size(),
                     offsetof(shm::SegmentHeader, boot_id)),
            static_cast<ssize_t>(boot_id.size()));
  auto found = read_segment(std::move(made.fd), made.path);
  ASSERT_THAT(found, IsOk());
  mux_.adopt(std::move(*found));
  ASSERT_THAT(join("run"), IsOk());
  ASSERT_THAT(barrier("run"), IsOk());
  const store::LedgerEntry entry = ledger("run").at(0);
  EXPECT_EQ(entry.producer.segment, std::filesystem::path(made.path).stem());
  EXPECT_EQ(entry.producer.state, "crashed");
  EXPECT_EQ(entry.stored, 0u);
  EXPECT_FALSE(entry.ok());
  wait_for_threads();
  EXPECT_FALSE(std::filesystem::exists(made.path));
}

// A repair keeps what it can read: here rows, and neither who logged them nor their metrics' names.
TEST_F(MuxTest, IdsThatRowsNameAreNotGivenAwayAgainAfterARepair) {
  RowStore(dir_of("run")).add(10);
  store::lose_key(dir_of("run"), store::key::producer(1));
  store::lose_key(dir_of("run"), store::key::key_set(1));
  auto joined = join("run");
  ASSERT_THAT(joined, IsOk());
  EXPECT_EQ(joined->producer, 2u);
  Producer process(std::move(joined->segment_fd));
  process.register_keys(0, 64, {"b"});
  ASSERT_TRUE(process.log(0, 64, {1}));
  ASSERT_THAT(barrier("run"), IsOk());
  auto reader = store::RunReader::open(dir_of("run"));
  ASSERT_THAT(reader, IsOk());
  EXPECT_EQ((*reader)->key_sets()->at(0).id, 2u);
  const auto visited = (*reader)->for_each_row({}, [](const store::RowView& row) {
    EXPECT_EQ(row.producer().producer, 2u);
    return true;
  });
  EXPECT_EQ(*visited, 1u) << "the rows of before are not called b";
}

TEST_F(MuxTest, ARequestWhoseClientHasGoneMakesNothing) {
  Peer gone = peer();
  gone.socket = std::make_shared<PeerSocket>();
  Result<Attached> answer = Error{Code::kIo, "none"};
  mux_.inform_init(spec_of("run"), gone,
                   [&](Result<Attached> attached) { answer = std::move(attached); });
  EXPECT_THAT(answer, FailsWith(Code::kNotFound, HasSubstr("does not wait")));
  EXPECT_FALSE(std::filesystem::exists(dir_of("run")));
}

// A pipe in place of a file that LevelDB reads first stands for a disk that does not answer.
TEST_F(MuxTest, ARunThatIsOpenedForLongKeepsNoOtherWaiting) {
  auto joined = join("other");
  ASSERT_THAT(joined, IsOk());
  Producer process(std::move(joined->segment_fd));
  { const RowStore store(dir_of("slow")); }
  const std::string current = dir_of("slow") + "/store/CURRENT";
  ASSERT_EQ(::unlink(current.c_str()), 0);
  ASSERT_EQ(::mkfifo(current.c_str(), 0600), 0);
  bool is_opened = false;
  mux_.inform_init(spec_of("slow"), peer(), [&](const Result<Attached>&) { is_opened = true; });
  process.register_keys(0, 64, {"a"});
  ASSERT_TRUE(process.log(0, 64, {1}));
  ASSERT_THAT(barrier("other"), IsOk());
  EXPECT_EQ(ledger("other").at(0).stored, 1u);
  EXPECT_FALSE(is_opened);
  while (!is_opened) {
    const shm::Fd answer(::open(current.c_str(), O_WRONLY | O_NONBLOCK));
    loop_.run();
  }
}

// One that finished and dies a moment later is not known to the intake any more.
TEST_F(MuxTest, ABarrierDoesNotWaitForWhoWasLetGo) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) ::pause();
  }
  ASSERT_GT(child, 0);
  auto joined = join("run", peer_of(child));
  ASSERT_THAT(joined, IsOk());
  Producer process(std::move(joined->segment_fd));
  process.write(0, make_record(record::encode_finish(0, true, 1), 0));
  const auto claim = process.ask(0, record::RequestKind::kFinish);
  process.ring(0).ring();
  auto box = process.mailbox();
  ASSERT_THAT(box.wait(claim, std::chrono::hours(1), [] { return true; }), IsOk());
  wait_for_threads();
  ASSERT_THAT(barrier("run"), IsOk());
  loop_.advance(kRetireMs);  // it is let go…
  wait_for_threads();
  wait_for_threads();
  ::kill(child, SIGKILL);  // …and dies before the mux hears of that
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  loop_.fire_watches();
  loop_.advance(kExitInfoWaitMs);
  EXPECT_THAT(barrier("run"), IsOk());
}

}  // namespace
}  // namespace ringlog::service
