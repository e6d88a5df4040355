// How the StreamMux ends processes whose segment is found late, or that an earlier service ended.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mux_fixture.h"

namespace ringlog::service {
namespace {

// A process that is dead, what the store knows of it, and its segment, which nobody has found yet.
class MuxEndsTest : public MuxTest {
 protected:
  MuxEndsTest() {
    auto made = make_segment("run", 1);
    auto own = shm::duplicate(made.fd.get());
    EXPECT_THAT(own, IsOk());
    process_ = std::make_unique<Producer>(std::move(*own));
    process_->register_keys(0, 64, {"a"});
    for (uint64_t i = 0; i < 3; ++i) EXPECT_TRUE(process_->log(0, 64, {i}));
    auto found = read_segment(std::move(made.fd), made.path);
    EXPECT_THAT(found, IsOk());
    segment_ = std::move(*found);
    known_.meta.emplace().run_id = "run";
    known_.producers.push_back(state_of(segment_.header));
    known_.producers[0].pid = dead_pid();
  }
  static pid_t dead_pid() {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
    return child;
  }
  store::ProducerState& state() { return known_.producers[0]; }
  void store_known() { ASSERT_THAT(RowStore(dir_of("run")).store->write(known_, false), IsOk()); }
  // The run is open and what can be told of the process is stored.
  store::LedgerEntry end_of_it() {
    loop_.run();  // it is seen to be dead
    EXPECT_THAT(barrier("run"), IsOk());
    return ledger("run").at(0);
  }

  // Its run ended well, which the next service finds stored; the process then exits with 3.
  store::LedgerEntry fail_behind_an_end(bool is_implied) {
    state().state = "finished";
    state().said_end = store::SaidEnd{0, 0, is_implied};
    store_known();
    process_->segment().producer().exit_code.store(3);
    process_->segment().producer().exit_state.store(1);
    mux_.adopt(std::move(segment_));
    EXPECT_THAT(join("run"), IsOk());
    return end_of_it();
  }

  std::unique_ptr<Producer> process_;
  FoundSegment segment_;
  store::Commit known_;
};

// Its end was stored; then the service died, and the process went on to fail.
TEST_F(MuxEndsTest, AnImpliedEndYieldsToTheExitWordAfterARestart) {
  const store::LedgerEntry entry = fail_behind_an_end(/*is_implied=*/true);
  EXPECT_EQ(entry.producer.state, "failed");
  EXPECT_EQ(entry.producer.exit_code, 3);
  EXPECT_EQ(entry.stored, 3u);
}

TEST_F(MuxEndsTest, AnExplicitEndDoesNot) {
  EXPECT_EQ(fail_behind_an_end(/*is_implied=*/false).producer.state, "finished");
}

// What a ring only refers to is kept until it is known that nobody finds the ring.
TEST_F(MuxEndsTest, ALargeRecordOutlivesAnEndThatNobodyRead) {
  const std::string text(200'000, 'x');
  const auto words = record::encode_free_row(0, 1, std::array{Item{"t", Value(text)}});
  const auto bytes = record::as_bytes(words);
  ASSERT_TRUE(process_->write(
      0, make_record(record::encode_blob(5, words.size() * 8, 1), process_->ring(0).take_seq(),
                     shm::kFlagRow | shm::kFlagBlob)));
  store_known();
  ASSERT_THAT(
      RowStore(dir_of("run"))
          .store->put_blob({1, 5}, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}),
      IsOk());
  ASSERT_THAT(join("run"), IsOk());
  ASSERT_THAT(barrier("run"), IsOk());
  EXPECT_EQ(ledger("run").at(0).producer.state, "crashed");
  mux_.adopt(std::move(segment_));
  const store::LedgerEntry entry = end_of_it();
  EXPECT_EQ(entry.stored, 4u);
  EXPECT_TRUE(entry.ok());
}

// The drain thread has not come to end it when its segment is there.
TEST_F(MuxEndsTest, ASegmentThatIsFoundWhileItsProcessIsBeingEndedIsRead) {
  store_known();
  std::promise<void> gate;
  drain_.post([opened = gate.get_future().share()] { opened.wait(); });
  bool has_joined = false;
  mux_.inform_init(spec_of("run"), peer(), [&](const Result<Attached>&) { has_joined = true; });
  std::promise<void> opened;  // behind the run
  opener_.open(dir_of("other"), [&](const Opener::Opened&) { opened.set_value(); });
  opened.get_future().wait();
  loop_.run();
  loop_.run();  // it is seen to be dead, and the drain thread is told
  mux_.adopt(std::move(segment_));
  gate.set_value();
  loop_.run_until([&] { return has_joined; });
  wait_for_threads();
  const store::LedgerEntry entry = end_of_it();
  EXPECT_EQ(entry.producer.state, "crashed");
  EXPECT_EQ(entry.stored, 3u);
  EXPECT_TRUE(entry.ok());
}

}  // namespace
}  // namespace ringlog::service
