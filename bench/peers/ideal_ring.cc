// The least that two processes can do: slots of one size in shared memory and two indices.
//
// No header is looked at, nothing is checked, nobody ever sleeps.  What any ring costs on this
// machine is this.  `batched` publishes each index once per 32 records.

#include "bench/peers/ideal_ring.h"

#include "bench/peers/peer.h"

namespace ringlog::bench {

namespace {

class IdealRingPeer final : public Peer {
 public:
  explicit IdealRingPeer(bool is_batched) : is_batched_(is_batched) {}
  std::string name() const override { return is_batched_ ? "ideal_ring_batched" : "ideal_ring"; }
  std::string settings() const override {
    return is_batched_ ? "1 MiB, fixed slots, indices published once per 32 records, spinning"
                       : "1 MiB, fixed slots, indices published per record, spinning";
  }
  std::string lacks() const override {
    return "records of several sizes, sleeping, restarts, counted losses, kept data";
  }
  uint64_t warm_count() const override { return 50'000; }
  double expected_ns(size_t size) const override { return 6 + 18 * kib(size); }

  void open(const Job& job) override { ring_ = std::make_unique<IdealRing>(job.record_size); }
  void produce(const Job& job, Source& source) override {
    IdealProducer producer(*ring_, is_batched_ ? 32 : 1);
    for (uint64_t i = 0; i < job.count; ++i) producer.write(source.next(), job.record_size);
    producer.publish();
  }
  void consume(const Job& job, Sink& sink) override {
    IdealConsumer consumer(*ring_, is_batched_ ? 32 : 1);
    while (sink.count() < job.count) sink.take(consumer.wait_next()), consumer.release();
  }
  void close() override { ring_.reset(); }

 private:
  const bool is_batched_;
  std::unique_ptr<IdealRing> ring_;
};

}  // namespace

std::unique_ptr<Peer> make_ideal_ring(bool is_batched) {
  return std::make_unique<IdealRingPeer>(is_batched);
}

}  // namespace ringlog::bench
