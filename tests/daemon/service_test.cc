// The whole service in this process, asked over its real socket.

#include "daemon/service.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "control_connection.h"
#include "daemon/limits.h"
#include "daemon_fixture.h"
#include "schema/control.capnp.h"
#include "service_fixture.h"
#include "store/reader.h"

namespace ringlog::service {
namespace {

using ::testing::HasSubstr;

TEST_F(ServiceTest, SaysHowItIs) {
  Connection connection(runtime_);
  auto status = connection.ask([](auto request) { request.setStatus(); }).getStatus();
  EXPECT_EQ(status.getPid(), ::getpid());
  EXPECT_GT(status.getEpoch(), 0u);
  EXPECT_EQ(status.getRuns().size(), 0u);
  EXPECT_THAT(status.getLog().cStr(), HasSubstr(runtime_));
}

TEST_F(ServiceTest, RowsGoAllTheWay) {
  Connection connection(runtime_);
  auto process = join(connection, "run");
  process->register_keys(0, 64, {"a", "b"});
  for (uint64_t i = 0; i < 1000; ++i) ASSERT_TRUE(process->log(0, 64, {i, i}));
  process->finish_record(0, 0);
  const auto claim = process->ask(0, record::RequestKind::kFinish);
  process->ring(0).ring();
  auto box = process->mailbox();
  ASSERT_THAT(box.wait(claim, std::chrono::hours(1), [] { return true; }), IsOk());
  const auto entries = ledger("run");
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_TRUE(entries[0].ok());
  EXPECT_EQ(entries[0].stored, 1000u);
  EXPECT_EQ(entries[0].producer.state, "finished");
  EXPECT_EQ(process->segment().service().stored_rows.load(), 1000u);
  EXPECT_EQ(process->segment().service().synced_rows.load(), 1000u);
}

TEST_F(ServiceTest, ARunThatNobodyLogsToIsTidiedAndClosed) {
  Connection connection(runtime_);
  {
    Connection producer(runtime_);
    auto process = join(producer, "run");
    process->register_keys(0, 64, {"a"});
    for (uint64_t i = 0; i < 100; ++i) {
      ASSERT_TRUE(process->log(0, 64, {i * i}));
      barrier(connection, "run");  // a commit of its own
    }
    process->finish_record(0, 0);
    const auto claim = process->ask(0, record::RequestKind::kFinish);
    process->ring(0).ring();
    auto box = process->mailbox();
    ASSERT_THAT(box.wait(claim, std::chrono::hours(1), [] { return true; }), IsOk());
  }
  // A run that is closed is forgotten a moment before its store is tidy; the watchdog bounds this.
  const auto is_tidy = [&] {
    size_t tables = 0;
    uintmax_t log_size = 0;
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/project/run/store")) {
      std::error_code is_gone;
      const uintmax_t size = entry.file_size(is_gone);
      if (entry.path().extension() == ".ldb") ++tables;
      if (entry.path().extension() == ".log" && !is_gone) log_size += size;
    }
    return tables == 1 && log_size == 0;
  };
  while (!is_tidy() || barrier(connection, "").getQuery().size() > 0) {
  }
  EXPECT_EQ(ledger("run").at(0).stored, 100u);
}

TEST_F(ServiceTest, ABarrierSeesWhatWasCommittedBefore) {
  Connection connection(runtime_);
  auto process = join(connection, "run");
  process->register_keys(0, 64, {"a"});
  for (uint64_t i = 0; i < 10; ++i) process->log(0, 64, {i});
  auto runs = barrier(connection, "run").getQuery();
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_STREQ(runs[0].getState().cStr(), "running");
  ASSERT_EQ(runs[0].getProducers().size(), 1u);
  EXPECT_EQ(runs[0].getProducers()[0].getStored(), 10u);
  EXPECT_EQ(ledger("run").at(0).stored, 10u);
}

TEST_F(ServiceTest, ARunIdIsChosenWhenThereIsNone) {
  Connection connection(runtime_);
  auto reply = connection.ask([&](auto request) { describe(request, ""); });
  ASSERT_TRUE(reply.isAttached());
  EXPECT_EQ(reply.getAttached().getRunId().size(), 8u);
  EXPECT_TRUE(std::filesystem::exists(std::string(reply.getAttached().getDir().cStr()) + "/files"));
}

TEST_F(ServiceTest, ProcessesOfOneRunGetRanks) {
  Connection first(runtime_);
  Connection second(runtime_);
  EXPECT_EQ(join(first, "run")->segment().header().rank, 0);
  EXPECT_EQ(join(second, "run")->segment().header().rank, 1);
}

// Else the process would be a worker of a rank that nobody has taken.
TEST_F(ServiceTest, AnAnswerThatReachedNobodyTakesNoRank) {
  const auto as_rank_0 = [this](auto request) {
    describe(request, "run");
    request.getInformInit().getProducer().setRank(0);
  };
  {
    Connection lost(runtime_);
    EXPECT_TRUE(lost.ask(as_rank_0).isAttached());
  }
  Connection again(runtime_);
  const auto second = again.ask(as_rank_0);
  ASSERT_TRUE(second.isAttached()) << again.error();
  EXPECT_EQ(second.getAttached().getWorker(), 0u);
  EXPECT_TRUE(again.ask([](auto request) { request.setInformStart("run"); }).isOk());
  EXPECT_TRUE(barrier(again, "run").isQuery());
  const auto entries = ledger("run");
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].producer.state, "finished");
  EXPECT_EQ(entries[1].producer.state, "running");
}

TEST_F(ServiceTest, WhoIsKnownToLogKeepsItsRankWithoutAConnection) {
  const auto as_rank_0 = [this](auto request) {
    describe(request, "run");
    request.getInformInit().getProducer().setRank(0);
  };
  // One says that it has started, one only writes a row.
  auto heard = std::make_unique<Connection>(runtime_);
  EXPECT_TRUE(heard->ask(as_rank_0).isAttached());
  EXPECT_TRUE(heard->ask([](auto request) { request.setInformStart("run"); }).isOk());
  heard.reset();
  auto silent = std::make_unique<Connection>(runtime_);
  EXPECT_EQ(silent->ask(as_rank_0).getAttached().getWorker(), 1u);
  auto fds = silent->take_fds();
  Producer process(std::move(fds.at(0)));
  process.register_keys(0, 64, {"a"});
  silent.reset();
  Connection last(runtime_);
  EXPECT_EQ(last.ask(as_rank_0).getAttached().getWorker(), 2u);
}

TEST_F(ServiceTest, StopReachesEverySegmentAlsoLaterOnes) {
  Connection connection(runtime_);
  auto process = join(connection, "run");
  EXPECT_EQ(process->segment().service().stop_requested.load(), 0u);
  EXPECT_TRUE(connection.ask([](auto request) { request.setStop("run"); }).isOk());
  EXPECT_EQ(process->segment().service().stop_requested.load(), 1u);
  EXPECT_EQ(join(connection, "run")->segment().service().stop_requested.load(), 1u);
  connection.ask([](auto request) { request.setStop("other"); });
  EXPECT_EQ(connection.reply().getError().getCode(), schema::ControlError::Code::UNKNOWN_RUN);
}

// Nor does it forget what it has not sent.
TEST_F(ServiceTest, AServiceThatAClientStartedDoesNotStayForASinkThatTakesNothing) {
  stop();
  const std::string state = dir_.file("state");
  ::setenv("XDG_STATE_HOME", state.c_str(), 1);
  start({.idle_exit_ms = 3000, .unsent_stay_ms = 0});
  {
    Connection connection(runtime_);
    connection.ask([&](auto request) {
      describe(request, "run");
      request.getInformInit().initSinks(1).set(0, "influx+http://127.0.0.1:1/db");
    });
    ASSERT_TRUE(connection.reply().isAttached()) << connection.error();
    Producer process(std::move(connection.take_fds().at(0)));
    process.register_keys(0, 64, {"a"});
    process.log(0, 64, {1});
    connection.ask([](auto request) { request.initFinish().setExitCode(0); });
    ASSERT_TRUE(connection.reply().isOk()) << connection.error();
  }
  thread_.join();
  ::unsetenv("XDG_STATE_HOME");
  size_t notes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(state)) {
    notes += entry.path().extension() == ".json" ? 1 : 0;
  }
  EXPECT_EQ(notes, 1u);
}

TEST_F(ServiceTest, WhatCannotBeIsRefusedWithTheReason) {
  Connection connection(runtime_);
  connection.ask([&](auto request) { describe(request, "a/b"); });
  EXPECT_THAT(connection.error(), HasSubstr("run_id"));
  connection.ask([&](auto request) {
    describe(request, "run");
    request.getInformInit().setRoot("relative");
  });
  EXPECT_THAT(connection.error(), HasSubstr("absolute"));
  connection.ask([&](auto request) {
    describe(request, "run");
    request.getInformInit().initSinks(1).set(0, "pigeon://coop");
  });
  EXPECT_THAT(connection.error(), HasSubstr("pigeon://coop"));
  connection.ask([&](auto request) {
    describe(request, "run");
    request.getInformInit().getProducer().setRingBytes(12345);
  });
  EXPECT_THAT(connection.error(), HasSubstr("12345"));
  connection.ask([&](auto request) {
    describe(request, "run");
    request.getInformInit().setRoot("/proc/nowhere");
  });
  EXPECT_THAT(connection.error(), HasSubstr("/proc/nowhere"));
  connection.ask([&](auto request) {
    auto attach = request.initAttach();
    attach.setRunId("nobody");
    attach.setProject("nowhere");
    attach.setRoot(root_);
  });
  EXPECT_THAT(connection.error(), HasSubstr("there is no run " + root_ + "/nowhere/nobody"));
  EXPECT_FALSE(std::filesystem::exists(root_ + "/nowhere"));
  EXPECT_TRUE(is_well());
}

TEST_F(ServiceTest, AnotherVersionIsRefusedAndBothAreNamed) {
  Connection connection(runtime_);
  connection.send([](auto request) { request.setStatus(); }, {}, 999);
  ASSERT_TRUE(connection.receive());
  EXPECT_EQ(connection.reply().getError().getCode(), schema::ControlError::Code::VERSION);
  EXPECT_THAT(connection.error(), HasSubstr("999"));
  EXPECT_THAT(connection.error(), HasSubstr("version 1"));
  EXPECT_TRUE(is_well());
}

TEST_F(ServiceTest, GarbageClosesItsConnectionOnly) {
  Connection good(runtime_);
  auto process = join(good, "run");
  for (unsigned char byte = 0; byte < 255; byte = static_cast<unsigned char>(byte + 17)) {
    Connection bad(runtime_);
    bad.send_bytes(std::vector<unsigned char>(64, byte));
    EXPECT_FALSE(bad.receive()) << int{byte};
  }
  EXPECT_TRUE(good.ask([](auto request) { request.setInformStart("run"); }).isOk());
}

TEST_F(ServiceTest, AMessageThatIsTooLargeClosesItsConnectionOnly) {
  Connection bad(runtime_);
  const uint32_t header[2] = {0, static_cast<uint32_t>(kRequestBytesMax / 8 + 1)};
  bad.send_bytes({reinterpret_cast<const unsigned char*>(header), sizeof header});
  EXPECT_FALSE(bad.receive());
  EXPECT_TRUE(is_well());
}

// The service is in this process, so what the test opens counts against the same limit.
TEST_F(ServiceTest, WithoutDescriptorsItRefusesWhoComesAndServesWhoIsThere) {
  Connection early(runtime_);
  ASSERT_TRUE(early.ask([](auto request) { request.setStatus(); }).isStatus());
  auto dir = shm::open_file(runtime_, O_PATH | O_DIRECTORY);
  ASSERT_THAT(dir, IsOk());
  std::vector<shm::Fd> sockets;
  for (int i = 0; i < 4; ++i) sockets.push_back(Connection::make_socket());
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit low{256, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  std::vector<shm::Fd> full;
  while (true) {
    shm::Fd copy(::fcntl(dir->get(), F_DUPFD_CLOEXEC, 0));
    if (!copy) break;
    full.push_back(std::move(copy));
  }
  std::vector<std::unique_ptr<Connection>> late;  // open, so that there is no more room
  for (shm::Fd& socket : sockets) {
    late.push_back(std::make_unique<Connection>(dir->get(), std::move(socket)));
    ASSERT_TRUE(late.back()->receive());
    EXPECT_THAT(late.back()->error(), HasSubstr("no more file descriptors"));
    EXPECT_TRUE(early.ask([](auto request) { request.setStatus(); }).isStatus());
  }
  full.clear();
  EXPECT_TRUE(is_well());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
}

TEST_F(ServiceTest, AHalfSentMessageHarmsNobody) {
  Connection half(runtime_);
  half.send_bytes(std::vector<unsigned char>{0, 0, 0});
  EXPECT_TRUE(is_well());
}

TEST_F(ServiceTest, LargeRecordsTravelBesideTheRing) {
  Connection connection(runtime_);
  auto process = join(connection, "run");
  const std::string text(200'000, 'x');
  const auto words = record::encode_free_row(0, 1, std::array{Item{"t", Value(text)}});
  auto file = shm::create_memfd("record");
  ASSERT_THAT(file, IsOk());
  ASSERT_THAT(shm::write_all(file->get(), record::as_bytes(words), "record"), IsOk());
  const auto upload = [&](uint64_t size) {
    return connection.ask(
        [&](auto request) {
          auto blob = request.initBlob();
          blob.setRunId("run");
          blob.setProducer(1);
          blob.setId(5);
          blob.setSize(size);
        },
        {file->get()});
  };
  EXPECT_TRUE(upload(words.size() * 8 + 8).isError()) << "another size than the file's";
  EXPECT_TRUE(upload(words.size() * 8).isOk()) << connection.error();
  process->write(0, make_record(record::encode_blob(5, words.size() * 8, 1),
                                process->ring(0).take_seq(), shm::kFlagRow | shm::kFlagBlob));
  barrier(connection, "run");
  auto reader = store::RunReader::open(root_ + "/project/run");
  ASSERT_THAT(reader, IsOk());
  size_t size = 0;
  ASSERT_THAT((*reader)->for_each_row({},
                                      [&](const store::RowView& row) {
                                        size = row.bytes(0).size();
                                        return true;
                                      }),
              IsOk());
  EXPECT_GT(size, text.size());
}

TEST_F(ServiceTest, LargeRepliesAreFetchedOverTheSocket) {
  Connection connection(runtime_);
  auto process = join(connection, "run");
  std::vector<std::string> names;
  for (int i = 0; i < 50; ++i) names.push_back("metric_" + std::to_string(i));
  process->register_keys(0, 64, names);
  process->log(0, 64, std::vector<uint64_t>(50, 0));
  const auto claim = process->ask(0, record::RequestKind::kSummary);
  process->ring(0).ring();
  auto box = process->mailbox();
  auto reply = box.wait(claim, std::chrono::hours(1), [] { return true; });
  ASSERT_THAT(reply, IsOk());
  ASSERT_TRUE(reply->is_large);
  const auto fetch = [&] {
    return connection.ask([&](auto request) {
      auto fetched = request.initFetchReply();
      fetched.setSlot(claim.slot);
      fetched.setWord(claim.word);
    });
  };
  for (int i = 0; i < 2; ++i) {  // again, because nobody knows whether the first one arrived
    ASSERT_TRUE(fetch().isOk()) << connection.error();
    auto fds = connection.take_fds();
    ASSERT_EQ(fds.size(), 1u);
    auto size = shm::file_size(fds[0].get(), "reply");
    ASSERT_THAT(size, IsOk());
    EXPECT_GT(*size, shm::kInlineReplySizeMax);
  }
}

TEST_F(ServiceTest, ADeadProcessIsSettledBeforeABarrierAnswers) {
  // The child only lends its identity: what it attaches is written to by this process.
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    Connection connection(runtime_);
    auto process = join(connection, "run");
    process->register_keys(0, 64, {"a"});
    for (uint64_t i = 0; i < 100; ++i) process->log(0, 64, {i});
    ::kill(::getpid(), SIGKILL);
  }
  ::close(ends[1]);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ::close(ends[0]);
  Connection connection(runtime_);
  auto runs = barrier(connection, "run").getQuery();
  ASSERT_EQ(runs.size(), 1u);
  const std::string state = runs[0].getState().cStr();
  const auto entries = ledger("run");
  EXPECT_EQ(state, "crashed");
  EXPECT_TRUE(entries.at(0).ok());
  EXPECT_EQ(entries.at(0).stored, 100u);
}

TEST_F(ServiceTest, TheNextServiceGoesOn) {
  std::unique_ptr<Producer> process;
  {
    Connection connection(runtime_);
    process = join(connection, "run");
    process->register_keys(0, 64, {"a"});
    process->log(0, 64, {1});
  }
  stop();
  process->log(0, 64, {2});
  start();
  Connection connection(runtime_);
  barrier(connection, "run");
  EXPECT_EQ(ledger("run").at(0).stored, 2u);
  EXPECT_TRUE(ledger("run").at(0).ok());
  EXPECT_EQ(ledger("run").at(0).producer.state, "running");
}

// What was lost behind the last row is never sent, and nobody waits for it.
TEST_F(ServiceTest, AFlushToTheSinksDoesNotWaitForRowsThatWereDropped) {
  std::unique_ptr<Producer> process;
  {
    Connection connection(runtime_);
    connection.ask([&](auto request) {
      describe(request, "run");
      request.getInformInit().initSinks(1).set(0, "jsonl+file://" + dir_.file("out.jsonl"));
    });
    ASSERT_TRUE(connection.reply().isAttached()) << connection.error();
    process = std::make_unique<Producer>(std::move(connection.take_fds().at(0)));
  }
  process->register_keys(0, 64, {"a"});
  for (uint64_t i = 0; i < 10; ++i) ASSERT_TRUE(process->log(0, 64, {i}));
  for (int i = 0; i < 3; ++i) {
    process->ring(0).take_seq();
    process->ring(0).count_drop();
  }
  const auto flush = [&] {
    const auto claim = process->ask(0, record::RequestKind::kFlush, Durability::kSent);
    process->ring(0).ring();
    auto box = process->mailbox();
    EXPECT_THAT(box.wait(claim, std::chrono::hours(1), [] { return true; }), IsOk());
    EXPECT_EQ(process->segment().service().sent_rows.load(), 10u);
  };
  flush();
  stop();
  start();
  flush();
}

TEST_F(ServiceTest, TeardownEndsTheProducersAndTheService) {
  Connection connection(runtime_);
  auto process = join(connection, "run");
  process->register_keys(0, 64, {"a"});
  process->log(0, 64, {1});
  EXPECT_TRUE(connection.ask([](auto request) { request.setTeardown(0); }).isOk());
  thread_.join();
  EXPECT_EQ(ledger("run").at(0).stored, 1u);
  EXPECT_EQ(ledger("run").at(0).producer.state, "killed");
  EXPECT_EQ(ledger("run").at(0).producer.cause, "the service was torn down");
  EXPECT_FALSE(std::filesystem::exists(runtime_ + "/service.sock"));
  // The process, which is this one, lives on: it may log on, with the next service.
  EXPECT_FALSE(std::filesystem::is_empty(runtime_ + "/segments"));
  process->log(0, 64, {2});
  start();
  Connection next(runtime_);
  barrier(next, "run");
  EXPECT_EQ(ledger("run").at(0).stored, 2u);
  EXPECT_EQ(ledger("run").at(0).producer.state, "running");
}

TEST_F(ServiceTest, ItEndsByItselfWhenThereIsNothingToDo) {
  stop();
  start({.idle_exit_ms = 0});
  thread_.join();
  EXPECT_FALSE(std::filesystem::exists(runtime_ + "/service.sock"));
}

TEST_F(ServiceTest, DetachBySocketSettles) {
  Connection connection(runtime_);
  auto process = join(connection, "run");
  process->register_keys(0, 64, {"a"});
  process->log(0, 64, {1});
  EXPECT_TRUE(connection.ask([](auto request) { request.initFinish().setExitCode(4); }).isOk());
  EXPECT_EQ(ledger("run").at(0).producer.state, "failed");
  EXPECT_EQ(ledger("run").at(0).producer.exit_code, 4);
  EXPECT_EQ(ledger("run").at(0).stored, 1u);
}

}  // namespace
}  // namespace ringlog::service
