#include "daemon/peer.h"

#include "daemon/monitor/processes.h"
#include "daemon/monitor/text_file.h"
#include "daemon/process_watch.h"

#include <poll.h>
#include <sys/socket.h>
#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_gettime
#include <unistd.h>

#include <memory>

namespace ringlog::service {

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

bool PeerSocket::is_closed() const {
  if (fd < 0) return true;
  // Closed altogether; one that only sends no more may wait for its answer.
  pollfd entry{fd, 0, 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLHUP | POLLERR)) != 0;
}

bool Peer::has_left() const {
  return (pidfd && is_dead(pidfd->get())) || (socket && socket->is_closed());
}

OwnUse own_use() {
  OwnUse use;
  timespec time{};
  if (::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0) {
    use.cpu_ns =
        static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
  }
  TextFile file;
  const auto text = file.read("/proc/self/stat");
  const auto reading = text ? parse_process(*text) : std::nullopt;
  if (!reading) return use;
  use.threads = static_cast<uint32_t>(reading->threads);
  // Pages of everything, resident ones, of these the shared ones: files and rings.
  auto pages = file.read("/proc/self/statm").value_or(std::string_view());
  take_word(pages);
  const auto resident = to_number(take_word(pages));
  const auto shared = to_number(take_word(pages));
  if (resident && shared) {
    use.memory_bytes = (*resident - *shared) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  }
  return use;
}

}  // namespace ringlog::service
