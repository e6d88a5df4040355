// A pipe, a write per record.

#include "bench/peers/peer.h"
#include "shm/posix.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace ringlog::bench {

namespace {

class PipePeer final : public Peer {
 public:
  std::string name() const override { return "pipe"; }
  std::string settings() const override {
    return "a write per record, reads of 64 KiB, " + std::to_string(pipe_bytes() >> 10) + " KiB";
  }
  std::string lacks() const override {
    return "survive a killed consumer, keep records above 4 KiB whole, count losses, keep data";
  }
  double expected_ns(size_t size) const override { return 350 + 50 * kib(size); }

  void open(const Job&) override {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail_errno("pipe");
    reader_ = shm::Fd(ends[0]);
    writer_ = shm::Fd(ends[1]);
    ::fcntl(writer_.get(), F_SETPIPE_SZ, kPipeBytes);
  }
  void produce(const Job& job, Source& source) override {
    for (uint64_t i = 0; i < job.count; ++i) {
      if (Status s = shm::write_all(writer_.get(), {source.next(), job.record_size}, "pipe"); !s) {
        fail(s.error().message);
      }
    }
  }
  void consume(const Job& job, Sink& sink) override {
    constexpr size_t kPieceSize = 64 * 1024;
    StreamCutter cutter(kPieceSize);
    while (sink.count() < job.count) {
      const ssize_t size =
          ::read(reader_.get(), cutter.space(), std::min(cutter.space_size(), kPieceSize));
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) fail_errno("pipe: read");
      cutter.add(static_cast<size_t>(size), sink);
    }
  }
  void close() override {
    reader_.reset();
    writer_.reset();
  }

 private:
  static constexpr int kPipeBytes = 1 << 20;
  // What an unprivileged process is granted may be less.
  static int pipe_bytes() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return 0;
    const shm::Fd reader(ends[0]);
    const shm::Fd writer(ends[1]);
    ::fcntl(writer.get(), F_SETPIPE_SZ, kPipeBytes);
    return ::fcntl(writer.get(), F_GETPIPE_SZ);
  }

  shm::Fd reader_;
  shm::Fd writer_;
};

}  // namespace

std::unique_ptr<Peer> make_pipe() { return std::make_unique<PipePeer>(); }

}  // namespace ringlog::bench
