// Unix sockets: streams, a write per record or one per 64 KiB, and sequenced packets.

#include "bench/peers/peer.h"
#include "shm/posix.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>

namespace ringlog::bench {

namespace {

constexpr size_t kPieceSize = 64 * 1024;
// Asked for; the kernel grants what net.core.wmem_max allows.
constexpr int kBufferBytes = 4 << 20;

class SocketPair {
 public:
  explicit SocketPair(int type) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()) != 0) fail_errno("socketpair");
    writer = shm::Fd(ends[0]);
    reader = shm::Fd(ends[1]);
    ::setsockopt(writer.get(), SOL_SOCKET, SO_SNDBUF, &kBufferBytes, sizeof kBufferBytes);
    ::setsockopt(reader.get(), SOL_SOCKET, SO_RCVBUF, &kBufferBytes, sizeof kBufferBytes);
  }
  shm::Fd writer;
  shm::Fd reader;
};

void write_all(int fd, const std::byte* bytes, size_t size) {
  if (Status s = shm::write_all(fd, std::span(bytes, size), "socket"); !s) fail(s.error().message);
}

class UnixStreamPeer final : public Peer {
 public:
  explicit UnixStreamPeer(bool is_batched) : is_batched_(is_batched) {}
  std::string name() const override { return is_batched_ ? "unix_stream_batched" : "unix_stream"; }
  std::string settings() const override {
    return is_batched_ ? "a write per 64 KiB, reads of 64 KiB"
                       : "a write per record, reads of 64 KiB";
  }
  std::string lacks() const override {
    return is_batched_
               ? "survive a kill (up to 64 KiB in the user's buffer), count losses, keep data"
               : "survive a killed consumer, count losses, keep data";
  }
  double expected_ns(size_t size) const override {
    return is_batched_ ? 10 + 140 * kib(size) : 800 + 110 * kib(size);
  }

  void open(const Job&) override { pair_ = std::make_unique<SocketPair>(SOCK_STREAM); }
  void produce(const Job& job, Source& source) override {
    const int fd = pair_->writer.get();
    if (!is_batched_) {
      for (uint64_t i = 0; i < job.count; ++i) write_all(fd, source.next(), job.record_size);
      return;
    }
    std::vector<std::byte> piece(kPieceSize);
    size_t filled = 0;
    for (uint64_t i = 0; i < job.count; ++i) {
      if (filled + job.record_size > piece.size()) {
        write_all(fd, piece.data(), filled);
        filled = 0;
      }
      std::memcpy(piece.data() + filled, source.next(), job.record_size);
      filled += job.record_size;
    }
    write_all(fd, piece.data(), filled);
  }
  void consume(const Job& job, Sink& sink) override {
    StreamCutter cutter(kPieceSize);
    while (sink.count() < job.count) {
      const ssize_t size =
          ::read(pair_->reader.get(), cutter.space(), std::min(cutter.space_size(), kPieceSize));
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) fail_errno("unix_stream: read");
      cutter.add(static_cast<size_t>(size), sink);
    }
  }
  void close() override { pair_.reset(); }

 private:
  const bool is_batched_;
  std::unique_ptr<SocketPair> pair_;
};

class UnixSeqpacketPeer final : public Peer {
 public:
  std::string name() const override { return "unix_seqpacket"; }
  std::string settings() const override { return "a send per record, recvmmsg of up to 64"; }
  std::string lacks() const override {
    return "survive a killed consumer, count losses, keep data";
  }
  double expected_ns(size_t size) const override { return 850 + 160 * kib(size); }

  void open(const Job&) override { pair_ = std::make_unique<SocketPair>(SOCK_SEQPACKET); }
  void produce(const Job& job, Source& source) override {
    for (uint64_t i = 0; i < job.count; ++i) {
      const ssize_t size = ::send(pair_->writer.get(), source.next(), job.record_size, 0);
      if (size != static_cast<ssize_t>(job.record_size)) fail_errno("unix_seqpacket: send");
    }
  }
  void consume(const Job& job, Sink& sink) override {
    std::vector<std::byte> bytes(kMessages * job.record_size);
    std::array<iovec, kMessages> parts{};
    std::array<mmsghdr, kMessages> messages{};
    for (size_t i = 0; i < kMessages; ++i) {
      parts[i] = {bytes.data() + i * job.record_size, job.record_size};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (sink.count() < job.count) {
      const int count =
          ::recvmmsg(pair_->reader.get(), messages.data(), kMessages, MSG_WAITFORONE, nullptr);
      if (count <= 0) fail_errno("unix_seqpacket: recvmmsg");
      for (int i = 0; i < count; ++i) {
        if (messages[static_cast<size_t>(i)].msg_len != job.record_size) fail("a short packet");
        sink.take(bytes.data() + static_cast<size_t>(i) * job.record_size);
      }
    }
  }
  void close() override { pair_.reset(); }

 private:
  static constexpr size_t kMessages = 64;
  std::unique_ptr<SocketPair> pair_;
};

}  // namespace

std::unique_ptr<Peer> make_unix_stream(bool is_batched) {
  return std::make_unique<UnixStreamPeer>(is_batched);
}

std::unique_ptr<Peer> make_unix_seqpacket() { return std::make_unique<UnixSeqpacketPeer>(); }

}  // namespace ringlog::bench
