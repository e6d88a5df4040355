#pragma once
// ClientConnection: one client of the control socket, as the server has it.
//
// On the control thread; lives as long as the connection.

#include "daemon/limits.h"
#include "daemon/peer.h"
#include "daemon/run_spec.h"
#include "daemon/stream_mux.h"

#include <kj/async-io.h>
#include <kj/io.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace ringlog::service {

struct ClientConnection {
  explicit ClientConnection(int fd)
      : socket(std::make_shared<PeerSocket>(PeerSocket{fd})),
        peer(peer_of(fd)),
        is_stranger(peer.uid != ::geteuid()) {
    peer.socket = socket;
  }
  ~ClientConnection() { socket->fd = -1; }
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  kj::Own<kj::AsyncCapabilityStream> stream;  // has the descriptor
  const std::shared_ptr<PeerSocket> socket;   // for requests that may outlive the connection
  Peer peer;
  bool is_stranger;
  std::array<kj::AutoCloseFd, kRequestFdsMax> fd_space;
  std::vector<std::string> uuids;           // of the segments attached through it
  std::shared_ptr<SyncClient> sync_client;  // once it has had runs forwarded
};

}  // namespace ringlog::service
