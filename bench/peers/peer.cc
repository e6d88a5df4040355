#include "bench/peers/peer.h"

namespace ringlog::bench {

namespace {

// Stands for a peer that this build could not be given.
class AbsentPeer final : public Peer {
 public:
  AbsentPeer(std::string name, std::string why) : name_(std::move(name)), why_(std::move(why)) {}
  std::string name() const override { return name_; }
  std::string settings() const override { return ""; }
  std::string lacks() const override { return ""; }
  std::string missing() const override { return why_; }
  double expected_ns(size_t) const override { return 1; }
  void open(const Job&) override {}
  void produce(const Job&, Source&) override {}
  void consume(const Job&, Sink&) override {}
  void close() override {}

 private:
  const std::string name_;
  const std::string why_;
};

[[maybe_unused]] std::unique_ptr<Peer> absent(const char* name, const char* library) {
  return std::make_unique<AbsentPeer>(name, std::string(library) + " was not there at build time");
}

}  // namespace

void StreamCutter::add(size_t size, Sink& sink) {
  filled_ += size;
  size_t at = 0;
  while (filled_ - at >= sizeof(shm::RecordHeader)) {
    uint32_t bytes;
    std::memcpy(&bytes, bytes_.data() + at, sizeof bytes);
    if (bytes < sizeof(shm::RecordHeader) || bytes > shm::kRecordSizeMax) fail("a torn stream");
    if (filled_ - at < bytes) break;
    sink.take(bytes_.data() + at);
    at += bytes;
  }
  filled_ -= at;
  std::memmove(bytes_.data(), bytes_.data() + at, filled_);
}

std::vector<std::unique_ptr<Peer>> all_peers() {
  std::vector<std::unique_ptr<Peer>> peers;
  peers.push_back(make_ideal_ring(false));
  peers.push_back(make_ideal_ring(true));
  peers.push_back(make_ringlog_ring());
  peers.push_back(make_boost_mq());
  peers.push_back(make_unix_stream(true));
  peers.push_back(make_unix_stream(false));
  peers.push_back(make_unix_seqpacket());
  peers.push_back(make_pipe());
  peers.push_back(make_posix_mq());
#ifdef RINGLOG_BENCH_ZMQ
  peers.push_back(make_zmq_ipc());
#else
  peers.push_back(absent("zmq_ipc", "libzmq"));
#endif
#ifdef RINGLOG_BENCH_LTTNG
  peers.push_back(make_lttng_ust());
#else
  peers.push_back(absent("lttng_ust", "liblttng-ust"));
#endif
#ifdef RINGLOG_BENCH_SQLITE
  peers.push_back(make_sqlite_wal());
#else
  peers.push_back(absent("sqlite_wal", "libsqlite3"));
#endif
  return peers;
}

}  // namespace ringlog::bench
