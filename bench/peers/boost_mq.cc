// boost::interprocess::message_queue: messages under a mutex in shared memory.

#include "bench/peers/peer.h"

#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>

namespace ringlog::bench {

namespace {

namespace ipc = boost::interprocess;

class BoostMqPeer final : public Peer {
 public:
  std::string name() const override { return "boost_mq"; }
  std::string settings() const override { return "1024 messages deep, a message per record"; }
  std::string lacks() const override {
    return "survive a kill (its mutex stays locked), count losses, keep data";
  }
  double expected_ns(size_t size) const override { return 170 + 100 * kib(size); }

  void open(const Job& job) override {
    name_ = "ringlog-bench-" + std::to_string(::getpid());
    ipc::message_queue::remove(name_.c_str());
    queue_ = std::make_unique<ipc::message_queue>(ipc::create_only, name_.c_str(), kDepth,
                                                  job.record_size);
    ipc::message_queue::remove(name_.c_str());
  }
  void produce(const Job& job, Source& source) override {
    for (uint64_t i = 0; i < job.count; ++i) queue_->send(source.next(), job.record_size, 0);
  }
  void consume(const Job& job, Sink& sink) override {
    std::vector<std::byte> record(job.record_size);
    while (sink.count() < job.count) {
      ipc::message_queue::size_type size = 0;
      unsigned priority = 0;
      queue_->receive(record.data(), record.size(), size, priority);
      if (size != record.size()) fail("boost_mq: a short message");
      sink.take(record.data());
    }
  }
  void close() override { queue_.reset(); }

 private:
  static constexpr size_t kDepth = 1024;
  std::string name_;
  std::unique_ptr<ipc::message_queue> queue_;
};

}  // namespace

std::unique_ptr<Peer> make_boost_mq() { return std::make_unique<BoostMqPeer>(); }

}  // namespace ringlog::bench
