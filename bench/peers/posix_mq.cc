// POSIX message queues, as deep as the machine allows.

#include "bench/peers/peer.h"

#include <fcntl.h>
#include <mqueue.h>
#include <unistd.h>

#include <array>

namespace ringlog::bench {

namespace {

class PosixMqPeer final : public Peer {
 public:
  PosixMqPeer() {
    if (open_queue(64)) close();
  }
  std::string name() const override { return "posix_mq"; }
  std::string settings() const override {
    return std::to_string(depth_) + " messages deep, a message per record";
  }
  std::string lacks() const override { return "count losses, keep data beyond its few messages"; }
  std::string missing() const override {
    return depth_ == 0 ? "mq_open is refused on this machine" : "";
  }
  size_t record_size_max() const override { return 8192; }
  double expected_ns(size_t size) const override { return 1200 + 60 * kib(size); }

  void open(const Job& job) override {
    if (!open_queue(job.record_size)) fail_errno("mq_open");
  }
  void produce(const Job& job, Source& source) override {
    for (uint64_t i = 0; i < job.count; ++i) {
      const char* record = reinterpret_cast<const char*>(source.next());
      if (::mq_send(queue_, record, job.record_size, 0) != 0) fail_errno("mq_send");
    }
  }
  void consume(const Job& job, Sink& sink) override {
    std::vector<char> record(job.record_size);
    while (sink.count() < job.count) {
      const ssize_t size = ::mq_receive(queue_, record.data(), record.size(), nullptr);
      if (size != static_cast<ssize_t>(record.size())) fail_errno("mq_receive");
      sink.take(reinterpret_cast<const std::byte*>(record.data()));
    }
  }
  void close() override { ::mq_close(queue_); }

 private:
  // The deepest queue that the limits allow: fs.mqueue.msg_max, or for root RLIMIT_MSGQUEUE.
  bool open_queue(size_t record_size) {
    const std::string name = "/ringlog-bench-" + std::to_string(::getpid());
    for (const long depth : std::array<long, 4>{256, 64, 10, 8}) {
      mq_attr attributes{};
      attributes.mq_maxmsg = depth;
      attributes.mq_msgsize = static_cast<long>(record_size);
      queue_ = ::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes);
      if (queue_ == -1) continue;
      ::mq_unlink(name.c_str());
      depth_ = depth;
      return true;
    }
    return false;
  }

  mqd_t queue_ = -1;
  long depth_ = 0;
};

}  // namespace

std::unique_ptr<Peer> make_posix_mq() { return std::make_unique<PosixMqPeer>(); }

}  // namespace ringlog::bench
