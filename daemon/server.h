#pragma once
// The server on the Unix socket, on the control thread.
//
// One request at a time per connection; garbage closes that connection only.  Peers of other users
// are told so and refused.  Nothing here touches a disk.

#include "daemon/clock.h"
#include "daemon/control_loop.h"
#include "daemon/stream_mux.h"
#include "shm/posix.h"

#include <ringlog/result.h>

#include <cstdint>
#include <memory>
#include <string>

namespace ringlog::service {

struct ServerConfig {
  int runtime_dir_fd = -1;  // outlives the server
  std::string runtime_dir;
  int doorbell_fd = -1;  // outlives the server
  uint32_t epoch = 0;
  int64_t started_ns = 0;
  std::string log_path;
  // Exit after this long with nothing to do; negative: never.
  int64_t idle_exit_ms = -1;
};

class Server {
 public:
  // All must outlive the server.
  Server(ControlLoop& loop, StreamMux& mux, const Clock& clock, ServerConfig config);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Binds and listens, and starts the housekeeping that may end in ControlLoop::exit().
  //   kIo, kPermission  the socket cannot be made
  Status listen();
  // Takes no more requests: removes the socket; the clients that are waiting are closed.
  void close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringlog::service
