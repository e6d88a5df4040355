#pragma once
// Peer: one way to bring records from one process to another.  peers/*.cc implement it, one file
// each; transport_bench.cc runs them all through the same measurement.
//
// A record is `record_size` bytes that begin with shm::RecordHeader, so that a byte stream can be
// cut into records and every transport carries the same bytes.  The producer takes each record from
// a Source (private memory, every record different), the consumer shows every byte of it to a Sink.
//
// open() and close() run in the parent, before the fork and after both children have ended.
// produce() and consume() run in one child each.  Errors throw std::runtime_error.

#include "bench/common.h"
#include "shm/ring.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace ringlog::bench {

struct Job {
  size_t record_size = 0;  // bytes, header included, a multiple of 8
  uint64_t count = 0;      // records
  std::string folder{};    // on a disk, for peers that need files
};

// The records of a job, in order.
class Source {
 public:
  explicit Source(const Job& job) : words_(job.record_size / 8), size_(job.record_size) {
    const shm::RecordHeader header{static_cast<uint32_t>(size_), shm::kKindRowFirst, shm::kFlagRow,
                                   2, 0};
    std::memcpy(words_.data(), &header, sizeof header);
    for (size_t i = kFirstWord; i < words_.size(); ++i) words_[i] = kMark * i;
  }

  // The next record; good until the next call.
  const std::byte* next() {
    words_[1] = seq_;
    words_[kFirstWord] = seq_ * kMark;
    ++seq_;
    return reinterpret_cast<const std::byte*>(words_.data());
  }

  // What Sink::sum() is after `count` records.
  uint64_t sum_after(uint64_t count) {
    next();
    uint64_t constant = 0;
    for (size_t i = 0; i < words_.size(); ++i) {
      if (i != 1 && i != kFirstWord) constant += words_[i];
    }
    // 0 + 1 + … + (count - 1), in arithmetic modulo 2^64 without losing the half.
    const uint64_t steps = count % 2 == 0 ? count / 2 * (count - 1) : (count - 1) / 2 * count;
    return constant * count + steps + steps * kMark;
  }

 private:
  static constexpr size_t kFirstWord = 2;
  static constexpr uint64_t kMark = 0x9e3779b97f4a7c15ULL;

  std::vector<uint64_t> words_;
  const size_t size_;
  uint64_t seq_ = 0;
};

// Adds up all bytes, and takes the time at which the measurement begins: when the first `warm`
// records have come.
class Sink {
 public:
  Sink(uint64_t warm, size_t record_size) : warm_(warm), word_count_(record_size / 8) {}

  void take(const std::byte* record) {
    // Four sums, so that one addition need not wait for the last.
    uint64_t sums[4] = {};
    size_t i = 0;
    for (; i + 4 <= word_count_; i += 4) {
      for (size_t lane = 0; lane < 4; ++lane) sums[lane] += word(record, i + lane);
    }
    for (; i < word_count_; ++i) sums[0] += word(record, i);
    sum_ += sums[0] + sums[1] + sums[2] + sums[3];
    if (++count_ == warm_) warm_ns_ = now_ns();
  }

  uint64_t count() const { return count_; }
  uint64_t sum() const { return sum_; }
  // When the measurement begins, and when it ended if that was before consume() returned (else 0).
  int64_t warm_ns() const { return warm_ns_; }
  int64_t end_ns() const { return end_ns_; }
  // For a peer whose records are looked at after the measurement.
  void override_times(int64_t warm_ns, int64_t end_ns) {
    warm_ns_ = warm_ns;
    end_ns_ = end_ns;
    warm_ = 0;
  }

 private:
  static uint64_t word(const std::byte* record, size_t index) {
    uint64_t value;
    std::memcpy(&value, record + index * 8, 8);
    return value;
  }

  uint64_t warm_;
  const size_t word_count_;
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  int64_t warm_ns_ = 0;
  int64_t end_ns_ = 0;
};

// For Peer::expected_ns().
inline double kib(size_t size) { return static_cast<double>(size) / 1024; }

class Peer {
 public:
  virtual ~Peer() = default;

  virtual std::string name() const = 0;
  // How it is set up, and what it does not do of what ringlog does; for the table.
  virtual std::string settings() const = 0;
  virtual std::string lacks() const = 0;
  // Why it cannot run here; empty: it can.
  virtual std::string missing() const { return ""; }
  virtual size_t record_size_max() const { return size_t{1} << 16; }
  // False for peers with helper threads or processes, which would share one processor with the
  // process that is pinned to it.
  virtual bool is_pinned() const { return true; }
  // Records to warm up with, so that buffers are filled and pages touched.
  virtual uint64_t warm_count() const { return 2000; }
  // Roughly what a record of this size costs; decides how many make up a measurement.
  virtual double expected_ns(size_t size) const = 0;

  virtual void open(const Job& job) = 0;
  virtual void produce(const Job& job, Source& source) = 0;
  virtual void consume(const Job& job, Sink& sink) = 0;
  virtual void close() = 0;
  // CPU nanoseconds of processes besides the two, between open() and now.
  virtual uint64_t helper_cpu_ns() { return 0; }
};

// Calls sink.take() for each whole record in a stream of bytes that comes in pieces.
class StreamCutter {
 public:
  explicit StreamCutter(size_t piece_size) : bytes_(piece_size + shm::kRecordSizeMax) {}
  // Where the next piece goes, and how much of it at most.
  std::byte* space() { return bytes_.data() + filled_; }
  size_t space_size() const { return bytes_.size() - filled_; }
  // After `size` bytes were put there.
  void add(size_t size, Sink& sink);

 private:
  std::vector<std::byte> bytes_;
  size_t filled_ = 0;
};

// All peers, in the order in which they are measured; those whose library is not there say so in
// missing().
std::vector<std::unique_ptr<Peer>> all_peers();

// One per file.
std::unique_ptr<Peer> make_ideal_ring(bool is_batched);
std::unique_ptr<Peer> make_ringlog_ring();
std::unique_ptr<Peer> make_boost_mq();
std::unique_ptr<Peer> make_unix_stream(bool is_batched);
std::unique_ptr<Peer> make_unix_seqpacket();
std::unique_ptr<Peer> make_pipe();
std::unique_ptr<Peer> make_posix_mq();
std::unique_ptr<Peer> make_zmq_ipc();
std::unique_ptr<Peer> make_lttng_ust();
std::unique_ptr<Peer> make_sqlite_wal();

}  // namespace ringlog::bench
