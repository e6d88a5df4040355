#include "client/control_client.h"

#include "client/runtime_dir.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ringlog::client {

namespace {

using shm::errno_error;

constexpr size_t kFdsMax = 4;
// How long a service that does not accept may hold connect() up once its queue is full: a program
// that logs may be waiting for this.
constexpr timeval kConnectMax{.tv_sec = 1, .tv_usec = 0};
// A control reply is a list of runs at most; more is not one of our services.
constexpr size_t kReplySizeMax = 64 << 20;

Status wait_for(int fd, short events, int64_t deadline_ns) {
  for (;;) {
    const int64_t left_ms = (deadline_ns - shm::monotonic_ns()) / 1'000'000;
    if (left_ms <= 0) return Error{Code::kTimeout, "the service does not answer"};
    pollfd entry{fd, events, 0};
    const int n = ::poll(&entry, 1, static_cast<int>(std::min<int64_t>(left_ms, 60'000)));
    if (n > 0) return Done{};
    if (n < 0 && errno != EINTR) return errno_error("poll the service's socket");
  }
}

Error broken(const char* what) {
  return {Code::kServiceGone,
          std::string(what) + ": " + (errno != 0 ? std::strerror(errno) : "connection closed")};
}

// All of them are taken over, whatever becomes of one.
Status collect_fds(msghdr& message, std::vector<shm::Fd>& fds) {
  Status collected = Done{};
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      auto moved = shm::above_standard(shm::Fd(fd));
      if (moved) {
        fds.push_back(std::move(*moved));
      } else {
        collected = moved.take_error();
      }
    }
  }
  return collected;
}

Code code_of(schema::ControlError::Code code) {
  switch (code) {
    case schema::ControlError::Code::INVALID:
      return Code::kInvalidArgument;
    case schema::ControlError::Code::VERSION:
      return Code::kVersion;
    case schema::ControlError::Code::PERMISSION:
      return Code::kPermission;
    case schema::ControlError::Code::UNKNOWN_RUN:
      return Code::kNotFound;
    case schema::ControlError::Code::LIMIT:
      return Code::kBackpressure;
    default:
      return Code::kIo;
  }
}

Status check_peer(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return errno_error("ask who serves the socket");
  }
  if (peer.uid == ::geteuid()) return Done{};
  return Error{Code::kPermission, "the service belongs to user " + std::to_string(peer.uid) +
                                      ", this process to user " + std::to_string(::geteuid())};
}

}  // namespace

ControlAnswer::ControlAnswer(kj::Array<capnp::word> words, std::vector<shm::Fd> fds)
    : words_(kj::mv(words)),
      reader_(std::make_unique<capnp::FlatArrayMessageReader>(words_.asPtr())),
      fds_(std::move(fds)) {}

Result<std::unique_ptr<ControlClient>> ControlClient::connect(const std::string& runtime_dir) {
  auto directory = shm::open_file(runtime_dir, O_PATH | O_DIRECTORY);
  if (!directory) return Error{Code::kServiceGone, directory.error().message};
  const std::string path = socket_path(runtime_dir, directory->get());
  shm::Fd made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!made) return errno_error("make a socket");
  auto moved = shm::above_standard(std::move(made));
  if (!moved) return moved.take_error();
  shm::Fd fd = std::move(*moved);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kConnectMax, sizeof kConnectMax);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const std::string what = "connect to " + runtime_dir + "/service.sock";
    if (errno == EACCES || errno == EPERM) return errno_error(what);
    if (errno == EAGAIN) return Error{Code::kTimeout, what + ": the service does not answer"};
    return Error{Code::kServiceGone, errno_error(what).message};
  }
  if (Status s = check_peer(fd.get()); !s) {
    return std::move(s.take_error()).in(runtime_dir + "/service.sock");
  }
  return std::unique_ptr<ControlClient>(new ControlClient(std::move(fd)));
}

Result<ControlAnswer> ControlClient::call(capnp::MallocMessageBuilder& request,
                                          std::span<const int> fds,
                                          std::chrono::milliseconds timeout) {
  const int64_t deadline =
      shm::monotonic_ns() + std::chrono::duration_cast<std::chrono::nanoseconds>(timeout).count();
  request.getRoot<schema::ControlRequest>().setVersion(schema::PROTOCOL_VERSION);
  auto words = capnp::messageToFlatArray(request);
  auto bytes = words.asBytes();
  if (std::exchange(is_given_up_, true)) {
    return Error{Code::kServiceGone, "the connection to the service was given up"};
  }
  if (Status s = send(std::as_bytes(std::span(bytes.begin(), bytes.size())), fds, deadline); !s) {
    return s.take_error();
  }
  try {
    auto answer = receive(deadline);
    if (!answer) return answer;
    is_given_up_ = false;
    auto reply = answer->reply();
    if (reply.isError()) {
      return Error{code_of(reply.getError().getCode()), reply.getError().getMessage().cStr()};
    }
    return answer;
  } catch (const kj::Exception& e) {
    return Error{Code::kCorrupt, std::string("reply of the service: ") + e.getDescription().cStr()};
  }
}

Status ControlClient::send(std::span<const std::byte> bytes, std::span<const int> fds,
                           int64_t deadline_ns) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kFdsMax * sizeof(int))> control{};
  bool with_fds = !fds.empty() && fds.size() <= kFdsMax;
  while (!bytes.empty()) {
    iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (with_fds) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(fds.size_bytes());
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(fds.size_bytes());
      std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
    }
    const ssize_t n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      bytes = bytes.subspan(static_cast<size_t>(n));
      with_fds = false;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (Status s = wait_for(fd_.get(), POLLOUT, deadline_ns); !s) return s;
    } else if (errno != EINTR) {
      return broken("send to the service");
    }
  }
  return Done{};
}

Result<ControlAnswer> ControlClient::receive(int64_t deadline_ns) {
  std::vector<shm::Fd> fds;
  fds.reserve(kFdsMax);  // before any come, so that none is lost for want of memory
  auto words = kj::heapArray<capnp::word>(512);
  size_t size = 0;
  for (;;) {
    const auto prefix = words.slice(0, size / sizeof(capnp::word));
    const size_t expected = capnp::expectedSizeInWordsFromPrefix(prefix) * sizeof(capnp::word);
    if (size >= sizeof(capnp::word) && size >= expected) break;
    if (expected > kReplySizeMax) return Error{Code::kCorrupt, "reply of the service: too large"};
    if (expected > words.asBytes().size()) {
      auto larger = kj::heapArray<capnp::word>(expected / sizeof(capnp::word) + 1);
      std::memcpy(larger.begin(), words.begin(), size);
      words = kj::mv(larger);
    }
    if (Status s = wait_for(fd_.get(), POLLIN, deadline_ns); !s) return s.take_error();
    iovec part{words.asBytes().begin() + size, words.asBytes().size() - size};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kFdsMax * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    errno = 0;
    const ssize_t n = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)) continue;
    if (n <= 0) return broken("wait for the service's answer");
    if (Status s = collect_fds(message, fds); !s) return s.take_error();
    // The kernel drops descriptors for which this process has no room, without an error.
    if ((message.msg_flags & MSG_CTRUNC) != 0) {
      return errno_error("receive file descriptors from the service", EMFILE);
    }
    size += static_cast<size_t>(n);
  }
  return ControlAnswer(kj::mv(words), std::move(fds));
}

bool ControlClient::is_alive() const {
  if (is_given_up_) return false;
  pollfd entry{fd_.get(), POLLRDHUP, 0};
  return ::poll(&entry, 1, 0) == 0 ||
         (entry.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL)) == 0;
}

}  // namespace ringlog::client
