// ZeroMQ PUSH to PULL over ipc://, with the batching of its own I/O threads.

#include "bench/peers/peer.h"

#include <unistd.h>
#include <zmq.h>

namespace ringlog::bench {

namespace {

class ZmqSocket {
 public:
  ZmqSocket(int type, const char* name) : context_(::zmq_ctx_new()) {
    socket_ = ::zmq_socket(context_, type);
    if (socket_ == nullptr) fail(std::string("zmq_socket ") + name);
    // Deep enough that neither side waits for a wake-up of the other often.
    const int depth = 100'000;
    ::zmq_setsockopt(socket_, ZMQ_SNDHWM, &depth, sizeof depth);
    ::zmq_setsockopt(socket_, ZMQ_RCVHWM, &depth, sizeof depth);
  }
  // Waits until everything sent has left the process.
  ~ZmqSocket() {
    ::zmq_close(socket_);
    ::zmq_ctx_term(context_);
  }
  ZmqSocket(const ZmqSocket&) = delete;
  ZmqSocket& operator=(const ZmqSocket&) = delete;
  void* get() const { return socket_; }

 private:
  void* context_;
  void* socket_;
};

class ZmqIpcPeer final : public Peer {
 public:
  std::string name() const override { return "zmq_ipc"; }
  std::string settings() const override {
    return "PUSH to PULL, its own batching, 100,000 messages deep";
  }
  std::string lacks() const override {
    return "survive a kill (queues in both processes), count losses, keep data";
  }
  bool is_pinned() const override { return false; }
  double expected_ns(size_t size) const override { return 200 + 1400 * kib(size); }

  void open(const Job& job) override {
    address_ = "ipc://" + job.folder + "/zmq-" + std::to_string(::getpid());
  }
  void produce(const Job& job, Source& source) override {
    const ZmqSocket push(ZMQ_PUSH, "PUSH");
    if (::zmq_connect(push.get(), address_.c_str()) != 0) fail("zmq_connect");
    for (uint64_t i = 0; i < job.count; ++i) {
      if (::zmq_send(push.get(), source.next(), job.record_size, 0) < 0) fail("zmq_send");
    }
  }
  void consume(const Job& job, Sink& sink) override {
    const ZmqSocket pull(ZMQ_PULL, "PULL");
    if (::zmq_bind(pull.get(), address_.c_str()) != 0) fail("zmq_bind " + address_);
    zmq_msg_t message;
    ::zmq_msg_init(&message);
    while (sink.count() < job.count) {
      if (::zmq_msg_recv(&message, pull.get(), 0) < 0) fail("zmq_msg_recv");
      if (::zmq_msg_size(&message) != job.record_size) fail("zmq_ipc: a short message");
      sink.take(static_cast<const std::byte*>(::zmq_msg_data(&message)));
    }
    ::zmq_msg_close(&message);
  }
  void close() override { ::unlink(address_.c_str() + 6); }

 private:
  std::string address_;
};

}  // namespace

std::unique_ptr<Peer> make_zmq_ipc() { return std::make_unique<ZmqIpcPeer>(); }

}  // namespace ringlog::bench
