// The file sink: rows as lines, cut off at what was acknowledged.

#include "daemon/sinks/file_sink.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "daemon/sinks/http_transport.h"
#include "sender_fixture.h"

namespace ringlog::service {
namespace {

using ::testing::HasSubstr;

class FileSinkTest : public SenderFixture {
 protected:
  void send() {
    auto sink = make_sink("jsonl+file://" + path_, parts_);
    ASSERT_THAT(sink, IsOk());
    Sender sender("jsonl+file://" + path_, std::move(*sink), *run_.store, clock_, 1);
    exhaust(sender);
    state_ = sender.status().state;
    error_ = sender.status().last_error;
  }
  std::string text() const {
    std::stringstream all;
    all << std::ifstream(path_).rdbuf();
    return all.str();
  }
  size_t lines() const {
    const std::string all = text();
    return static_cast<size_t>(std::count(all.begin(), all.end(), '\n'));
  }

  HttpTransport http_;
  const SinkParts parts_{http_, [] {}};
  const std::string path_ = dir_.file("out.jsonl");
  std::string state_;
  std::string error_;
};

TEST_F(FileSinkTest, WritesRowsAsJsonLines) {
  run_.add(2);
  send();
  EXPECT_EQ(text(),
            "{\"_rank\":0,\"_attempt\":0,\"_seq\":0,\"_step\":0,\"_timestamp\":0.0,\"a\":0}\n"
            "{\"_rank\":0,\"_attempt\":0,\"_seq\":1,\"_step\":1,\"_timestamp\":0.000000001,"
            "\"a\":1}\n");
}

TEST_F(FileSinkTest, CutsOffWhatWasNeverAcknowledged) {
  run_.add(10);
  send();
  const std::string good = text();
  std::ofstream(path_, std::ios::app) << "{\"_rank\":0,\"half a li";
  run_.add(5);
  send();
  EXPECT_EQ(text().substr(0, good.size()), good);
  EXPECT_EQ(lines(), 15u);
  EXPECT_EQ(text().find("half"), std::string::npos);
}

// The service is killed between the first write to the file and its watermark in the store.
TEST_F(FileSinkTest, TheVeryFirstBatchIsCutOffToo) {
  std::ofstream(path_) << "of another run\n";
  store::Commit described;
  described.meta = store::RunMeta{.run_id = "run"};
  ASSERT_THAT(run_.store->write(described, false), IsOk());
  {
    Sender first("jsonl+file://" + path_, std::make_unique<FileSink>(path_), *run_.store, clock_,
                 1);
    exhaust(first);
  }
  std::ofstream(path_, std::ios::app) << "{\"_rank\":0}\n";
  run_.add(3);
  send();
  EXPECT_EQ(lines(), 4u);
}

TEST_F(FileSinkTest, BeginsBehindWhatIsThere) {
  std::ofstream(path_) << "of another run\n";
  run_.add(3);
  send();
  EXPECT_EQ(lines(), 4u);
  EXPECT_THAT(text(), HasSubstr("of another run\n"));
}

TEST_F(FileSinkTest, RunAndProjectNameTheFile) {
  run_.add(3);
  store::Commit commit;
  commit.meta = store::RunMeta{.run_id = "r1", .project = "demo"};
  ASSERT_THAT(run_.store->write(commit, false), IsOk());
  const std::string folder = dir_.file("out");
  Sender sender("jsonl+file://x", std::make_unique<FileSink>(folder + "/{project}/{run}.jsonl"),
                *run_.store, clock_, 1);
  exhaust(sender);
  EXPECT_EQ(sender.status().state, "good") << sender.status().last_error;
  EXPECT_TRUE(std::filesystem::exists(folder + "/demo/r1.jsonl"));
}

// A live run's sinks are there before its first commit says what the run is.
TEST_F(FileSinkTest, NothingIsOpenedBeforeTheStoreSaysWhatTheRunIs) {
  const std::string folder = dir_.file("out");
  Sender sender("jsonl+file://x", std::make_unique<FileSink>(folder + "/{run}.jsonl"), *run_.store,
                clock_, 1);
  exhaust(sender);
  EXPECT_TRUE(sender.is_idle());
  EXPECT_FALSE(std::filesystem::exists(folder));
  run_.add(3);
  sender.wake();
  exhaust(sender);
  EXPECT_EQ(sender.status().sent_rows, 3u);
  EXPECT_TRUE(std::filesystem::exists(folder + "/run.jsonl"));
  EXPECT_FALSE(std::filesystem::exists(folder + "/.jsonl"));
}

TEST_F(FileSinkTest, TwoRunsWaitForEachOther) {
  run_.add(3);
  auto first = std::make_unique<Sender>("jsonl+file://1", std::make_unique<FileSink>(path_),
                                        *run_.store, clock_, 1);
  exhaust(*first);
  Sender second("jsonl+file://2", std::make_unique<FileSink>(path_), *run_.store, clock_, 1);
  EXPECT_GT(second.step(), clock_.now_ms);
  EXPECT_THAT(second.status().last_error, HasSubstr("another run"));
  first.reset();
  exhaust(second);
  EXPECT_EQ(lines(), 6u);
}

TEST_F(FileSinkTest, AFileThatLostRowsIsRefused) {
  run_.add(10);
  send();
  std::filesystem::resize_file(path_, 5);
  run_.add(1);
  send();
  EXPECT_EQ(state_, "refused");
  EXPECT_THAT(error_, HasSubstr("has 5 bytes"));
}

TEST_F(FileSinkTest, AFolderThatIsNotThereIsRefusedWithItsName) {
  run_.add(1);
  auto sink = make_sink("jsonl+file:///nonexistent/x.jsonl", parts_);
  ASSERT_THAT(sink, IsOk());
  Sender sender("jsonl+file:///nonexistent/x.jsonl", std::move(*sink), *run_.store, clock_, 1);
  EXPECT_EQ(sender.step(), kNever);
  EXPECT_THAT(sender.status().last_error, HasSubstr("/nonexistent/x.jsonl"));
}

}  // namespace
}  // namespace ringlog::service
