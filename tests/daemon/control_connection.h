#pragma once
// The control socket from the client's side, without a client's care.

#include "shm/posix.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "schema/control.capnp.h"

namespace ringlog::service {

// Throws std::runtime_error when nobody listens.
class Connection {
 public:
  explicit Connection(const std::string& runtime_dir) : fd_(make_socket()) {
    auto dir = shm::open_file(runtime_dir, O_PATH | O_DIRECTORY);
    if (!dir) throw std::runtime_error(dir.error().message);
    connect(dir->get());
  }
  // Of descriptors made before: for whoever has no more.
  Connection(int runtime_dir_fd, shm::Fd socket) : fd_(std::move(socket)) {
    connect(runtime_dir_fd);
  }
  static shm::Fd make_socket() { return shm::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

  // Sends the request that `fill` makes; `fds` beside it.
  template <typename Fill>
  void send(Fill fill, const std::vector<int>& fds = {},
            uint32_t version = schema::PROTOCOL_VERSION) {
    capnp::MallocMessageBuilder message;
    auto request = message.initRoot<schema::ControlRequest>();
    request.setVersion(version);
    fill(request);
    const auto words = capnp::messageToFlatArray(message);
    const auto bytes = words.asBytes();
    send_bytes({bytes.begin(), bytes.size()}, fds);
  }
  void send_bytes(std::span<const unsigned char> bytes, const std::vector<int>& fds = {}) {
    iovec part{const_cast<unsigned char*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> control{};
    if (!fds.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
      std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
    }
    // A service that closed the connection is seen by the receiver.
    static_cast<void>(::sendmsg(fd_.get(), &message, MSG_NOSIGNAL));
  }
  // One reply; false when the service closed the connection.
  bool receive() {
    fds_.clear();
    std::vector<unsigned char> bytes;
    while (bytes.size() < 8 || bytes.size() < 8 + 8 * segment_words(bytes)) {
      std::array<unsigned char, 4096> part{};
      iovec into{part.data(), part.size()};
      alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> control{};
      msghdr message{};
      message.msg_iov = &into;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      const ssize_t n = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
      if (n <= 0) return false;
      for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {
          int fd = -1;
          std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
          fds_.emplace_back(fd);
        }
      }
      bytes.insert(bytes.end(), part.begin(), part.begin() + n);
    }
    words_ = kj::heapArray<capnp::word>(bytes.size() / 8);
    std::memcpy(words_.begin(), bytes.data(), words_.size() * 8);
    reader_ = std::make_unique<capnp::FlatArrayMessageReader>(words_.asPtr());
    return true;
  }
  template <typename Fill>
  schema::ControlReply::Reader ask(Fill fill, const std::vector<int>& fds = {}) {
    send(fill, fds);
    EXPECT_TRUE(receive()) << "the service closed the connection";
    return reply();
  }
  schema::ControlReply::Reader reply() { return reader_->getRoot<schema::ControlReply>(); }
  std::string error() {
    return reply().isError() ? reply().getError().getMessage().cStr() : "no error";
  }
  std::vector<shm::Fd> take_fds() { return std::move(fds_); }

 private:
  void connect(int runtime_dir_fd) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = "/proc/self/fd/" + std::to_string(runtime_dir_fd) + "/service.sock";
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("connect");
    }
  }
  static size_t segment_words(const std::vector<unsigned char>& bytes) {
    uint32_t words = 0;
    std::memcpy(&words, bytes.data() + 4, sizeof words);
    return words;
  }
  shm::Fd fd_;
  kj::Array<capnp::word> words_;
  std::unique_ptr<capnp::FlatArrayMessageReader> reader_;
  std::vector<shm::Fd> fds_;
};

}  // namespace ringlog::service
