// Segments whose bytes change while the whole service drains them, and a healthy process beside
// them: of its rows every bit is stored, and the other's rings are given up and shown.
//
// Bytes are changed through the file, not the mapping: for the sanitizers nobody races then.

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "seed.h"
#include "service_fixture.h"

namespace ringlog::service {
namespace {

using ::testing::HasSubstr;

// Flips bits of a segment's file from its construction to its end.
class Flipper {
 public:
  // Bits of the pages that begin at these offsets.
  Flipper(int fd, std::vector<uint64_t> pages, uint64_t seed)
      : fd_(std::move(*shm::duplicate(fd))), pages_(std::move(pages)), random_(seed) {
    thread_ = std::thread([this] {
      while (!is_over_.load(std::memory_order_relaxed)) flip();
    });
  }
  ~Flipper() {
    is_over_.store(true);
    thread_.join();
  }
  Flipper(const Flipper&) = delete;
  Flipper& operator=(const Flipper&) = delete;

 private:
  void flip() {
    const uint64_t page = pages_[random_.below(pages_.size())];
    const auto at = static_cast<off_t>(page + random_.below(shm::kPageSize));
    uint8_t byte = 0;
    if (::pread(fd_.get(), &byte, 1, at) != 1) return;
    byte ^= static_cast<uint8_t>(1u << random_.below(8));
    if (::pwrite(fd_.get(), &byte, 1, at) != 1) return;
  }

  const shm::Fd fd_;
  const std::vector<uint64_t> pages_;
  test::Random random_;
  std::atomic<bool> is_over_{false};
  std::thread thread_;
};

class ForeignBytesTest : public ServiceTest {
 protected:
  ForeignBytesTest() : good_(join(*connection_, "run")) { good_->register_keys(0, 64, {"a", "b"}); }

  // Rows of the healthy process, each told by its number, and then a flush: they are stored.
  void log_good(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i, ++rows_) {
      ASSERT_TRUE(good_->log(0, 64, {rows_ * 3, ~rows_})) << "no room: it was not given back";
    }
    const auto claim = good_->ask(0, record::RequestKind::kFlush);
    good_->ring(0).ring();
    auto box = good_->mailbox();
    ASSERT_THAT(box.wait(claim, std::chrono::hours(1), [] { return true; }), IsOk());
    box.cancel(claim);
  }
  // A process that behaves until its bytes change.
  std::unique_ptr<Producer> join_bad() {
    auto bad = join(*connection_, "run");
    for (uint32_t ring = 0; ring < 2; ++ring) {
      bad->register_keys(ring, 64, {"a"});
      for (uint64_t i = 0; i < 100; ++i) bad->log(ring, 64, {i});
    }
    bad->ring(0).ring();
    return bad;
  }
  // The rows of the healthy process are all there, bit by bit, and once.
  void expect_good_rows() {
    auto reader = store::RunReader::open(root_ + "/project/run");
    ASSERT_THAT(reader, IsOk());
    uint64_t row = 0;
    ASSERT_THAT((*reader)->for_each_row({.producers = {1}},
                                        [&](const store::RowView& view) {
                                          EXPECT_EQ(view.seq(), row);
                                          EXPECT_EQ(view.bits(0), row * 3);
                                          EXPECT_EQ(view.bits(1), ~row);
                                          ++row;
                                          return !::testing::Test::HasFailure();
                                        }),
                IsOk());
    EXPECT_EQ(row, rows_);
    for (const store::LedgerEntry& entry : ledger("run")) {
      EXPECT_TRUE(entry.ok() || entry.producer.producer != 1);
    }
    EXPECT_TRUE(is_well());
  }
  // Why the rings of a process were given up, as the store tells `ringlog doctor`.
  std::string poison_of(uint32_t producer) {
    std::string why;
    for (const store::LedgerEntry& entry : ledger("run")) {
      if (entry.producer.producer != producer) continue;
      EXPECT_EQ(entry.producer.is_poisoned() && entry.ok(), false);
      for (const store::RingState& ring : entry.producer.rings) why += ring.poisoned;
    }
    return why;
  }

  std::unique_ptr<Connection> connection_ = std::make_unique<Connection>(runtime_);
  std::unique_ptr<Producer> good_;
  uint64_t rows_ = 0;
};

std::vector<uint64_t> control_pages() {
  std::vector<uint64_t> pages;
  for (uint64_t page = 0; page < 9; ++page) pages.push_back(page * shm::kPageSize);
  return pages;
}

TEST_F(ForeignBytesTest, BitsThatFlipInEveryPageWhileItDrains) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  uint32_t poisoned = 0;
  for (uint32_t round = 0; round < 6 && !HasFailure(); ++round) {
    const auto bad = join_bad();
    std::vector<uint64_t> pages = control_pages();
    for (uint32_t ring = 0; ring < 2; ++ring) {
      pages.push_back(bad->segment().header().rings[ring].data_offset);
    }
    const Flipper flipper(bad->segment().fd(), pages, seed + round);
    for (int turn = 0; turn < 10 && !HasFailure(); ++turn) {
      for (uint64_t i = 0; i < 50; ++i) bad->log(turn % 2, 64, {i});
      log_good(500);
    }
    if (!poison_of(round + 2).empty()) ++poisoned;
  }
  EXPECT_GT(poisoned, 0u);
  expect_good_rows();
}

// Bytes only: positions stay right, so that every record is looked at.
TEST_F(ForeignBytesTest, BitsThatFlipInRecordsOnly) {
  const auto bad = join_bad();
  const uint64_t data = bad->segment().header().rings[0].data_offset;
  const Flipper flipper(bad->segment().fd(), {data, data + shm::kPageSize}, test::seed());
  for (int turn = 0; turn < 20 && !HasFailure(); ++turn) {
    for (uint64_t i = 0; i < 200; ++i) bad->log(0, 64, {i});
    log_good(500);
  }
  EXPECT_THAT(poison_of(2), HasSubstr("ring position"));
  expect_good_rows();
}

// Each batch held rows of both, and what the store refused took them all along.
TEST_F(ForeignBytesTest, ARecordThatOnlyTheStoreWouldTripOver) {
  const auto bad = join_bad();
  for (int turn = 0; turn < 5 && !HasFailure(); ++turn) {
    bad->write(0, make_record(unreadable_config(), bad->ring(0).next_seq()));
    bad->log(1, 64, {1});
    log_good(500);
  }
  EXPECT_THAT(poison_of(2), HasSubstr("a record"));
  expect_good_rows();
  bad->log(1, 64, {1});
  log_good(1);
  EXPECT_EQ(ledger("run").at(1).stored, 206u) << "of its other ring nothing is lost";
}

TEST_F(ForeignBytesTest, AFileThatIsCut) {
  for (const off_t size : {0, 1, 4096, 3 * 4096 + 5, 5 * 4096, 9 * 4096, 10 * 4096}) {
    const auto bad = join_bad();
    log_good(500);
    ASSERT_EQ(::ftruncate(bad->segment().fd(), size), 0);
    log_good(500);
    log_good(500);
  }
  expect_good_rows();
  // Cut below its rings only, it is noticed when something new stands there.
  for (uint32_t producer = 2; producer < 6; ++producer) {
    EXPECT_THAT(poison_of(producer), HasSubstr("cut short")) << producer;
  }
}

// So much stands in its ring that the service copies it out of a mapping.
TEST_F(ForeignBytesTest, AFileThatIsCutWhileItsFullRingIsDrained) {
  for (uint64_t round = 0; round < 8; ++round) {
    const auto bad = join_bad();
    while (bad->log(0, 64, {round})) {
    }
    const uint64_t data = bad->segment().header().rings[0].data_offset;
    ASSERT_EQ(::ftruncate(bad->segment().fd(), static_cast<off_t>(data + round * 64 * 1024)), 0);
    log_good(500);
  }
  expect_good_rows();
}

TEST_F(ForeignBytesTest, HolesInEveryPage) {
  constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  for (const uint64_t page : control_pages()) {
    const auto bad = join_bad();
    log_good(200);
    ASSERT_EQ(::fallocate(bad->segment().fd(), kPunch, static_cast<off_t>(page), shm::kPageSize),
              0);
    log_good(200);
    // Its tails are behind what was drained.
    if (page != 4 * shm::kPageSize) continue;
    EXPECT_THAT(poison_of(6), HasSubstr("impossible tail 0"));
  }
  const auto bad = join_bad();
  log_good(200);
  const uint64_t data = bad->segment().header().rings[0].data_offset;
  bad->log(0, 64, {1});
  ASSERT_EQ(::fallocate(bad->segment().fd(), kPunch, static_cast<off_t>(data), 16 * shm::kPageSize),
            0);
  log_good(200);
  expect_good_rows();
}

TEST_F(ForeignBytesTest, AFileThatGrows) {
  const auto bad = join_bad();
  log_good(200);
  const auto size = static_cast<off_t>(bad->segment().header().file_size);
  ASSERT_EQ(::ftruncate(bad->segment().fd(), size * 4), 0);
  for (uint64_t i = 0; i < 50; ++i) bad->log(0, 64, {i});
  log_good(200);
  bad->finish_record(0, 0);
  barrier(*connection_, "run");
  EXPECT_EQ(poison_of(2), "");
  expect_good_rows();
}

// A header is only read when a segment is found, so the next service is the one that refuses.
TEST_F(ForeignBytesTest, ALayoutThatTheNextServiceDoesNotKnow) {
  std::vector<std::unique_ptr<Producer>> others;
  for (const int change : {-1, 1}) {
    others.push_back(join_bad());
    const auto major = static_cast<uint16_t>(shm::kLayoutMajor + change);
    ASSERT_EQ(::pwrite(others.back()->segment().fd(), &major, sizeof major,
                       offsetof(shm::SegmentHeader, layout_major)),
              ssize_t{sizeof major});
  }
  log_good(500);
  stop();
  start();
  connection_ = std::make_unique<Connection>(runtime_);
  log_good(500);
  expect_good_rows();
  size_t left = 0;
  for (const auto& entry : std::filesystem::directory_iterator(runtime_ + "/segments")) {
    left += entry.path().extension() == ".seg" ? 1 : 0;
  }
  EXPECT_EQ(left, 3u) << "what another version wrote is left for it";
}

}  // namespace
}  // namespace ringlog::service
