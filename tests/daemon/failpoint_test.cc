// The service is killed at every named place of the write path, of a producer's end and of
// recovery; the next one goes on, and each row is stored exactly once.
//
// This process plays the client; each service is a child.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "control_connection.h"
#include "daemon/service.h"
#include "daemon_fixture.h"
#include "store/reader.h"
#include "watchdog.h"

namespace ringlog::service {
namespace {

// A service in a child; killed with the test.
class ChildService {
 public:
  // `failpoint` as in RINGLOG_FAILPOINT; empty: none.
  ChildService(const std::string& runtime_dir, const std::string& failpoint) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::setenv("RINGLOG_FAILPOINT", failpoint.c_str(), 1);
      ::close(ends[0]);
      auto place = claim_runtime_dir(runtime_dir);
      if (!place || !*place) ::_exit(1);
      auto service = Service::start(**place, {});
      if (!service) ::_exit(1);
      ::close(ends[1]);
      (*service)->run();
      ::_exit(0);
    }
    // Readable at its end: it listens, or it died on the way.
    ::close(ends[1]);
    char byte = 0;
    static_cast<void>(::read(ends[0], &byte, 1) == 0);
    ::close(ends[0]);
  }
  ~ChildService() {
    if (!is_alive()) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  bool is_alive() {
    if (!is_reaped_) is_reaped_ = ::waitpid(pid_, nullptr, WNOHANG) == pid_;
    return !is_reaped_;
  }

 private:
  pid_t pid_ = -1;
  bool is_reaped_ = false;
};

class FailpointTest : public ::testing::TestWithParam<const char*> {
 protected:
  void start(const std::string& failpoint) {
    service_.reset();
    service_ = std::make_unique<ChildService>(runtime_, failpoint);
  }
  // Asks until a service that lives has answered; those that die are followed by one that does not.
  void ask_and_wait(record::RequestKind kind) {
    auto box = process_->mailbox();
    for (;;) {
      const auto claim = process_->ask(0, kind, Durability::kSynced);
      process_->ring(0).ring();
      auto reply = box.wait(claim, std::chrono::hours(1), [this] { return service_->is_alive(); });
      box.cancel(claim);
      if (reply) return;
      if (!service_->is_alive()) start("");
    }
  }
  // False: the service died over it.
  bool join() {
    try {
      Connection connection(runtime_);
      connection.send([&](schema::ControlRequest::Builder request) {
        auto spec = request.initInformInit();
        spec.setRunId("run");
        spec.setProject("project");
        spec.setRoot(root_.c_str());
        spec.initProducer().setRank(-1);
        spec.getProducer().setAttempt(-1);
        spec.getProducer().setRingBytes(shm::kRingBytesMin);
      });
      if (!connection.receive() || !connection.reply().isAttached()) return false;
      auto fds = connection.take_fds();
      process_ = std::make_unique<Producer>(std::move(fds.at(0)));
      return true;
    } catch (const std::runtime_error&) {
      return false;  // nobody listens any more
    }
  }

  const test::Watchdog watchdog_;
  test::TempDir dir_{"/dev/shm"};
  const std::string runtime_ = dir_.file("runtime");
  const std::string root_ = dir_.file("runs");
  std::unique_ptr<ChildService> service_;
  std::unique_ptr<Producer> process_;
};

TEST_P(FailpointTest, EveryRowIsStoredOnce) {
  start(GetParam());
  if (!join()) {
    start("");
    ASSERT_TRUE(join());
  }
  process_->register_keys(0, 64, {"a"});
  constexpr uint64_t kRows = 300;
  for (uint64_t i = 0; i < kRows; ++i) {
    ASSERT_TRUE(process_->log(0, 64, {i}));
    if (i % 100 == 99) ask_and_wait(record::RequestKind::kFlush);
  }
  // Killed between two batches as well, so that there is something to recover.
  start(GetParam());
  process_->finish_record(0, 0);
  ask_and_wait(record::RequestKind::kFinish);

  auto reader = store::RunReader::open(root_ + "/project/run");
  ASSERT_THAT(reader, IsOk());
  auto entries = (*reader)->ledger();
  ASSERT_THAT(entries, IsOk());
  // An attach that the service died over may have left a producer without rows.
  const store::LedgerEntry& entry = entries->back();
  EXPECT_TRUE(entry.ok());
  EXPECT_EQ(entry.stored, kRows);
  EXPECT_EQ(entry.attempted, kRows);
  EXPECT_EQ(entry.producer.state, "finished");
}

INSTANTIATE_TEST_SUITE_P(Everywhere, FailpointTest,
                         ::testing::Values("nowhere", "after_poll", "after_poll:2", "after_poll:3",
                                           "before_write", "before_write:2", "before_write:3",
                                           "after_write", "after_write:2", "after_write:3",
                                           "before_give_back", "before_give_back:2",
                                           "before_give_back:3", "before_answers",
                                           "before_answers:2", "before_answers:3", "producer_end",
                                           "recovery"),
                         [](const auto& param) {
                           std::string name = param.param;
                           for (char& c : name) c = c == ':' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace ringlog::service
