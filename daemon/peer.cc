#include "daemon/peer.h"

#include "daemon/process_watch.h"

#include <sys/socket.h>

#include <filesystem>
#include <memory>
#include <system_error>

namespace ringlog::service {

uint32_t thread_count() {
  std::error_code error;
  uint32_t count = 0;
  for (auto it = std::filesystem::directory_iterator("/proc/self/task", error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    ++count;
  }
  return count;
}

Peer peer_of(int fd) {
  Peer peer;
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return peer;
  peer.pid = credentials.pid;
  peer.uid = credentials.uid;
  if (auto start = shm::process_start_time(peer.pid)) peer.pid_start = *start;
  if (auto pidfd = open_pidfd(peer.pid, peer.pid_start)) {
    peer.pidfd = std::make_shared<shm::Fd>(std::move(*pidfd));
  }
  return peer;
}

}  // namespace ringlog::service
