#pragma once
// The whole service in threads of this process, and what its tests ask of it.

#include "daemon/service.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "control_connection.h"
#include "daemon_fixture.h"
#include "schema/control.capnp.h"
#include "store/reader.h"
#include "watchdog.h"

namespace ringlog::service {

class ServiceTest : public ::testing::Test {
 protected:
  ServiceTest() { start(); }
  ~ServiceTest() override { stop(); }

  void start(ServiceConfig config = {}) {
    std::promise<void> ready;
    thread_ = std::thread([this, config, &ready] {
      auto place = claim_runtime_dir(runtime_);
      ASSERT_THAT(place, IsOk());
      ASSERT_TRUE(*place);
      auto service = Service::start(**place, config);
      ASSERT_THAT(service, IsOk());
      service_ = service->get();
      ready.set_value();
      (*service)->run();
    });
    ready.get_future().wait();
  }
  void stop() {
    if (!thread_.joinable()) return;
    service_->stop();
    thread_.join();
  }
  void describe(schema::ControlRequest::Builder request, const std::string& run_id) {
    auto spec = request.initInformInit();
    spec.setRunId(run_id.c_str());
    spec.setProject("project");
    spec.setRoot(root_.c_str());
    auto producer = spec.initProducer();
    producer.setRank(-1);
    producer.setAttempt(-1);
    producer.setRingBytes(shm::kRingBytesMin);
  }
  std::unique_ptr<Producer> join(Connection& connection, const std::string& run_id) {
    auto reply = connection.ask([&](auto request) { describe(request, run_id); });
    EXPECT_TRUE(reply.isAttached()) << connection.error();
    auto fds = connection.take_fds();
    EXPECT_EQ(fds.size(), 2u);
    return std::make_unique<Producer>(std::move(fds.at(0)));
  }
  std::vector<store::LedgerEntry> ledger(const std::string& run_id) {
    auto reader = store::RunReader::open(root_ + "/project/" + run_id);
    EXPECT_THAT(reader, IsOk());
    auto entries = (*reader)->ledger();
    EXPECT_THAT(entries, IsOk());
    return *entries;
  }
  // Waits until everything is stored, by asking for it.
  schema::ControlReply::Reader barrier(Connection& connection, const std::string& run_id) {
    return connection.ask([&](auto request) {
      auto query = request.initQuery();
      query.setRunId(run_id.c_str());
      query.setBarrier(true);
    });
  }
  bool is_well() {
    Connection connection(runtime_);
    return connection.ask([](auto request) { request.setStatus(); }).isStatus();
  }

  const test::Watchdog watchdog_;
  test::TempDir dir_{"/dev/shm"};
  const std::string runtime_ = dir_.file("runtime");
  const std::string root_ = dir_.file("runs");
  std::thread thread_;
  Service* service_ = nullptr;
};

}  // namespace ringlog::service
