// ringlog's own ring, without the service: shm::RingWriter and shm::RingReader in two processes.
//
// The consumer does what the service's drain thread does: copy the backlog to private memory, check
// every header, give the room back, sleep on the doorbell when nothing comes.

#include "bench/peers/peer.h"
#include "bench/ring_memory.h"

#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

namespace ringlog::bench {

namespace {

constexpr uint64_t kMarkBytes = RingMemory::kCapacity / shm::kMarksPerRing;
constexpr uint64_t kTurnBytes = 256 * 1024;

class RinglogRingPeer final : public Peer {
 public:
  std::string name() const override { return "ringlog"; }
  std::string settings() const override {
    return "lib/shm: 1 MiB ring, copied out and checked as in the service";
  }
  std::string lacks() const override { return "a store, when run without the service as here"; }
  uint64_t warm_count() const override { return 50'000; }
  double expected_ns(size_t size) const override { return 10 + 40 * kib(size); }

  void open(const Job&) override { ring_ = std::make_unique<RingMemory>(); }

  void produce(const Job& job, Source& source) override {
    shm::RingWriter writer = ring_->writer();
    const auto size = static_cast<uint32_t>(job.record_size);
    for (uint64_t i = 0; i < job.count; ++i) {
      const std::byte* record = source.next();
      std::byte* at = writer.try_reserve(size);
      if (at == nullptr) at = writer.wait_reserve(size, std::chrono::seconds(10));
      if (at == nullptr) fail("ringlog: no room for 10 s");
      std::memcpy(at, record, size);
      writer.commit(size);
    }
    writer.ring();
  }

  void consume(const Job& job, Sink& sink) override {
    shm::RingReader reader = ring_->reader();
    std::vector<std::byte> scratch;
    std::vector<shm::RecordView> views;
    while (sink.count() < job.count) {
      if (reader.backlog() < kMarkBytes) wait_for_work(reader, ring_->doorbell());
      views.clear();
      if (Status s = reader.poll(kTurnBytes, scratch, views); !s) fail(s.error().message);
      for (const shm::RecordView& view : views) {
        sink.take(view.payload_untrusted.data() - size_t{view.header.header_words} * 8);
      }
      reader.give_back(reader.position());
    }
  }

  void close() override { ring_.reset(); }

 private:
  // Until the producer crosses a mark or rings at its end: a consumer that looks all the time takes
  // the line with the tail away from the producer at every record.
  static void wait_for_work(const shm::RingReader& reader, shm::DoorbellPage& doorbell) {
    shm::announce_sleep(doorbell);
    if (reader.backlog() >= kMarkBytes) return shm::cancel_sleep(doorbell);
    shm::sleep_on_doorbell(doorbell, std::chrono::milliseconds(shm::kServiceSleepMaxMs));
  }

  std::unique_ptr<RingMemory> ring_;
};

}  // namespace

std::unique_ptr<Peer> make_ringlog_ring() { return std::make_unique<RinglogRingPeer>(); }

}  // namespace ringlog::bench
