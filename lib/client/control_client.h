#pragma once
// ControlClient: one blocking call at a time over the service's Unix socket.
//
// Used by one thread at a time; the caller holds a lock.  A library must not bring an event loop
// into the user's thread, so this waits in poll(2), always with a deadline.

#include "shm/posix.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <ringlog/result.h>

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "schema/control.capnp.h"

namespace ringlog::client {

// A reply and the descriptors that came with it.  Owns both.
class ControlAnswer {
 public:
  ControlAnswer(kj::Array<capnp::word> words, std::vector<shm::Fd> fds);
  schema::ControlReply::Reader reply() { return reader_->getRoot<schema::ControlReply>(); }
  std::vector<shm::Fd>& fds() { return fds_; }

 private:
  kj::Array<capnp::word> words_;
  std::unique_ptr<capnp::FlatArrayMessageReader> reader_;
  std::vector<shm::Fd> fds_;
};

class ControlClient {
 public:
  // Connects to the service of `runtime_dir`.  Does not start one.
  //   kServiceGone  nobody listens; kPermission  it belongs to another user; kIo
  //   kTimeout      it accepts nobody and its queue is full
  static Result<std::unique_ptr<ControlClient>> connect(const std::string& runtime_dir);

  // Sends the request (its version is set here) with `fds` and waits for the reply.
  //   kTimeout      no reply in time
  //   kServiceGone  the connection broke, or was given up before
  //   kCorrupt      the reply is none
  //   otherwise     what the service answered as an error, its message verbatim
  // Throws std::bad_alloc.  The connection is given up after all of these but an answered error:
  // a reply may still be on its way, and the next call would take it for its own.
  Result<ControlAnswer> call(capnp::MallocMessageBuilder& request, std::span<const int> fds,
                             std::chrono::milliseconds timeout);

  // False once the service closed the connection or died, or call() gave it up.  At most one
  // system call, never blocks.
  bool is_alive() const;

 private:
  explicit ControlClient(shm::Fd fd) : fd_(std::move(fd)) {}
  Status send(std::span<const std::byte> bytes, std::span<const int> fds, int64_t deadline_ns);
  Result<ControlAnswer> receive(int64_t deadline_ns);

  shm::Fd fd_;
  bool is_given_up_ = false;
};

}  // namespace ringlog::client
