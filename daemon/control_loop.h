#pragma once
// ControlLoop: KJ's event loop as a Loop.
//
// Made and used by the control thread, except post(), which is safe from any.

#include "daemon/loop.h"

#include <cstdint>
#include <functional>
#include <memory>

namespace kj {
struct AsyncIoContext;
}

namespace ringlog::service {

// Whose signals are: of a service with a process of its own, or of the program it is a guest of.
enum class Signals { kTake, kLeave };

class ControlLoop final : public Loop {
 public:
  explicit ControlLoop(Signals signals);
  ~ControlLoop() override;
  ControlLoop(const ControlLoop&) = delete;
  ControlLoop& operator=(const ControlLoop&) = delete;

  void post(std::function<void()> task) override;
  void after(int64_t delay_ms, std::function<void()> task) override;
  std::unique_ptr<Watch> when_readable(int fd, std::function<void()> ready) override;
  // Runs `task` at the first SIGTERM, which the constructor blocked for threads made later. Nothing
  // where signals are left to the program.
  void on_terminate(std::function<void()> task);
  // Runs the loop until exit().
  void run();
  void exit();

  // For the server.
  kj::AsyncIoContext& io();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringlog::service
