// The Handler: what records mean, in any batching; and what breaks the rules.

#include "daemon/handler.h"

#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <string>
#include <tuple>

#include "daemon/limits.h"
#include "daemon_fixture.h"
#include "record/path.h"
#include "seed.h"
#include "tests/record/record_reader.h"

namespace ringlog::service {
namespace {

using ::testing::HasSubstr;

// A stored row, whatever batch and key set it came through: path → (type, bits or bytes).
using Cell = std::tuple<store::ColumnType, uint64_t, std::string>;
struct StoredRow {
  uint64_t step = 0;
  int64_t time_ns = 0;
  std::map<std::string, Cell> cells;
  bool operator==(const StoredRow&) const = default;
};
using Lanes = std::map<store::LaneId, std::map<uint64_t, StoredRow>>;

// Puts the blocks of batches together again.
class Collector {
 public:
  void take(const Batch& batch) {
    for (const store::KeySet& keys : batch.commit.key_sets) keys_[keys.id] = keys;
    for (const store::RowBlock& block : batch.commit.blocks) take(block);
  }
  const Lanes& lanes() const { return lanes_; }

 private:
  void take(const store::RowBlock& block) {
    ASSERT_TRUE(keys_.contains(block.key_set)) << "rows of a key set that is not stored yet";
    const store::KeySet& keys = keys_[block.key_set];
    for (size_t row = 0; row < block.rows(); ++row) {
      ASSERT_TRUE(row == 0 || block.seq[row - 1] < block.seq[row]);
      StoredRow out{block.step[row], block.time_ns[row], {}};
      size_t number = 0;
      size_t other = 0;
      for (const store::Column& column : keys.columns) {
        if (column.type == store::ColumnType::kOther) {
          out.cells[column.path] = {column.type, 0, std::string(block.byte_cell(row, other++))};
        } else {
          out.cells[column.path] = {column.type, block.cells[row * block.number_count + number++],
                                    ""};
        }
      }
      const bool is_new = lanes_[block.lane()].emplace(block.seq[row], out).second;
      ASSERT_TRUE(is_new) << "row " << block.seq[row] << " twice";
    }
  }
  std::map<uint32_t, store::KeySet> keys_;
  Lanes lanes_;
};

class HandlerTest : public ::testing::Test {
 protected:
  HandlerTest() {
    lane_.producer = 1;
    batch_.serial = 1;
  }
  Status give(const OwnedRecord& record) { return give(record, lane_); }
  Status give(const OwnedRecord& record, Lane& lane) {
    return handler_.handle(lane, record.view(), notes_, batch_);
  }
  void register_keys(uint16_t kind, const std::vector<std::string>& names) {
    ASSERT_THAT(give(make_record(record::encode_key_set(kind, columns(names), 1), lane_.next_seq)),
                IsOk());
  }
  OwnedRecord free_row(uint64_t seq, std::initializer_list<Item> items) {
    return make_record(record::encode_free_row(seq, 5, {items.begin(), items.size()}), seq,
                       shm::kFlagRow);
  }

  std::map<store::BlobId, std::string> blobs_;
  Handler handler_{{}, [this](store::BlobId id) -> Result<std::string> {
                     if (!blobs_.contains(id)) return Error{Code::kNotFound, "no such blob"};
                     return blobs_[id];
                   }};
  Lane lane_;
  ProducerNotes notes_;
  Batch batch_;
};

TEST_F(HandlerTest, RowsOfAKeySetBecomeOneBlock) {
  register_keys(64, {"loss", "acc"});
  for (uint64_t i = 0; i < 3; ++i)
    ASSERT_THAT(give(make_row(64, i, i + 10, 7, {i, i * 2})), IsOk());
  ASSERT_EQ(batch_.commit.blocks.size(), 1u);
  const store::RowBlock& block = batch_.commit.blocks[0];
  EXPECT_EQ(block.seq, (std::vector<uint64_t>{0, 1, 2}));
  EXPECT_EQ(block.step, (std::vector<uint64_t>{10, 11, 12}));
  EXPECT_EQ(block.cells, (std::vector<uint64_t>{0, 0, 1, 2, 2, 4}));
  EXPECT_EQ(lane_.stored, 3u);
  EXPECT_EQ(notes_.next_step, 13u);
}

TEST_F(HandlerTest, TheSameKeysHaveOneIdHoweverTheyCome) {
  register_keys(64, {"a"});
  register_keys(65, {"a"});
  ASSERT_THAT(give(make_row(64, 0, 0, 0, {1})), IsOk());
  ASSERT_THAT(give(free_row(1, {{"a", 2.0}})), IsOk());
  ASSERT_THAT(give(make_row(65, 2, 0, 0, {3})), IsOk());
  EXPECT_EQ(batch_.commit.key_sets.size(), 1u);
  ASSERT_EQ(batch_.commit.blocks.size(), 1u);
  EXPECT_EQ(batch_.commit.blocks[0].seq, (std::vector<uint64_t>{0, 1, 2}));
}

TEST_F(HandlerTest, AnotherTypeIsAnotherColumnSet) {
  ASSERT_THAT(give(free_row(0, {{"a", 2.0}})), IsOk());
  ASSERT_THAT(give(free_row(1, {{"a", 2}})), IsOk());
  EXPECT_EQ(batch_.commit.key_sets.size(), 2u);
}

TEST_F(HandlerTest, NestedObjectsBecomePathsAndOtherValuesStayValues) {
  ASSERT_THAT(give(free_row(0, {{"opt", {{"lr", 0.5}, {"name", "adam"}}}, {"n", nullptr}})),
              IsOk());
  ASSERT_EQ(batch_.commit.key_sets.size(), 1u);
  const auto& keys = batch_.commit.key_sets[0].columns;
  ASSERT_EQ(keys.size(), 3u);
  EXPECT_EQ(keys[0],
            (store::Column{record::join_path({"opt", "lr"}), store::ColumnType::kFloat64}));
  EXPECT_EQ(keys[1],
            (store::Column{record::join_path({"opt", "name"}), store::ColumnType::kOther}));
  EXPECT_EQ(keys[2], (store::Column{"n", store::ColumnType::kOther}));
}

TEST_F(HandlerTest, OfAKeyTwiceInARowTheLastCounts) {
  ASSERT_THAT(give(free_row(0, {{"a", "text"}, {"a", 2.0}})), IsOk());
  ASSERT_EQ(batch_.commit.key_sets[0].columns.size(), 1u);
  EXPECT_EQ(batch_.commit.blocks[0].cells, std::vector<uint64_t>{std::bit_cast<uint64_t>(2.0)});
}

TEST_F(HandlerTest, EmptyRowsAreRows) {
  ASSERT_THAT(give(free_row(0, {})), IsOk());
  ASSERT_THAT(give(free_row(1, {{"o", std::span<const Item>{}}})), IsOk());
  EXPECT_EQ(lane_.stored, 2u);
}

TEST_F(HandlerTest, RecordsAreKeptAsTheyWereWritten) {
  const auto words = record::encode_alert("title", "text", AlertLevel::kWarn, 9);
  ASSERT_THAT(give(make_record(words, 0)), IsOk());
  ASSERT_EQ(batch_.commit.records.size(), 1u);
  EXPECT_EQ(batch_.commit.records[0].message,
            std::string(reinterpret_cast<const char*>(words.data()), words.size() * 8));
}

TEST_F(HandlerTest, RequestsAreRememberedAndNotStored) {
  ASSERT_THAT(give(make_record(record::encode_request({.kind = record::RequestKind::kFlush,
                                                       .durability = Durability::kSynced,
                                                       .slot = 3,
                                                       .word = 33},
                                                      1),
                               0, shm::kFlagRequest)),
              IsOk());
  ASSERT_EQ(notes_.requests.size(), 1u);
  EXPECT_EQ(notes_.requests[0].slot_untrusted, 3u);
  EXPECT_EQ(notes_.requests[0].word_untrusted, 33u);
  EXPECT_EQ(notes_.requests[0].level, Durability::kSynced);
  EXPECT_TRUE(batch_.commit.empty());
}

TEST_F(HandlerTest, ALargeRecordIsWhatItStandsFor) {
  const std::string text(1 << 20, 'x');
  const auto row = record::encode_free_row(4, 5, std::array{Item{"t", Value(text)}});
  blobs_[{1, 7}] = std::string(reinterpret_cast<const char*>(row.data()), row.size() * 8);
  ASSERT_THAT(give(make_record(record::encode_blob(7, row.size() * 8, 1), 0,
                               shm::kFlagRow | shm::kFlagBlob)),
              IsOk());
  EXPECT_EQ(lane_.stored, 1u);
  EXPECT_EQ(batch_.commit.consumed_blobs, (std::vector<store::BlobId>{{1, 7}}));
  EXPECT_GT(batch_.bytes, text.size());
}

TEST_F(HandlerTest, ALargeRecordWithoutItsBytesIsRefusedAndTheRingGoesOn) {
  EXPECT_THAT(give(make_record(record::encode_blob(7, 800, 1), 0, shm::kFlagRow | shm::kFlagBlob)),
              FailsWith(Code::kNotFound));
  EXPECT_EQ(lane_.refused, 1u);
  EXPECT_EQ(lane_.next_seq, 1u) << "the row is missing, and that is counted";
  EXPECT_THAT(give(free_row(1, {{"a", 1}})), IsOk());
}

TEST_F(HandlerTest, ALargeRecordThatCannotBeReadNowComesAgain) {
  // The disk does not answer, then somebody has taken the rights away for a while.
  std::vector<Code> troubles = {Code::kPermission, Code::kIo};
  const auto row = record::encode_free_row(4, 5, std::array{Item{"t", Value("text")}});
  Handler handler({}, [&](store::BlobId) -> Result<std::string> {
    if (!troubles.empty()) return Error{troubles.back(), "not now"};
    return std::string(reinterpret_cast<const char*>(row.data()), row.size() * 8);
  });
  const OwnedRecord record =
      make_record(record::encode_blob(7, row.size() * 8, 1), 0, shm::kFlagRow | shm::kFlagBlob);
  const auto handle = [&] { return handler.handle(lane_, record.view(), notes_, batch_); };
  for (; !troubles.empty(); troubles.pop_back()) {
    EXPECT_THAT(handle(), FailsWith(Code::kIo));
    EXPECT_EQ(lane_.refused, 0u);
    EXPECT_EQ(lane_.next_seq, 0u);
    EXPECT_TRUE(batch_.commit.empty());
  }
  EXPECT_THAT(handle(), IsOk());
  EXPECT_EQ(lane_.stored, 1u);
}

TEST_F(HandlerTest, DroppedRowsLeaveAGap) {
  register_keys(64, {"a"});
  ASSERT_THAT(give(make_row(64, 0, 0, 0, {1})), IsOk());
  ASSERT_THAT(give(make_row(64, 5, 5, 0, {1})), IsOk());
  EXPECT_EQ(lane_.next_seq, 6u);
  EXPECT_EQ(lane_.stored, 2u);
}

TEST_F(HandlerTest, KeySetsCanBeRestored) {
  register_keys(70, {"a", "b"});
  const uint32_t id = lane_.kinds[70 - shm::kKindRowFirst].key_set;
  Handler next(batch_.commit.key_sets, nullptr);
  Lane lane;
  lane.producer = 1;
  ASSERT_THAT(next.restore_kind(lane, 70, id), IsOk());
  Batch batch;
  batch.serial = 1;
  ASSERT_THAT(next.handle(lane, make_row(70, 0, 0, 0, {1, 2}).view(), notes_, batch), IsOk());
  EXPECT_EQ(batch.commit.blocks[0].key_set, id);
  EXPECT_THAT(next.restore_kind(lane, 71, 99), FailsWith(Code::kCorrupt));
}

TEST_F(HandlerTest, BrokenRulesAreViolations) {
  register_keys(64, {"a", "b"});
  ASSERT_THAT(give(make_row(64, 3, 0, 0, {1, 2})), IsOk());
  const auto refuse = [&](const OwnedRecord& record, const char* why) {
    EXPECT_THAT(give(record), FailsWith(Code::kCorrupt, HasSubstr(why)));
  };
  refuse(make_row(99, 4, 0, 0, {1}), "never registered");
  refuse(make_row(64, 3, 0, 0, {1, 2}), "sequence number 3 after 4");
  refuse(make_row(64, 5, 0, 0, {1, 2, 3}), "another number of values");
  OwnedRecord unmarked = make_row(64, 6, 0, 0, {1, 2});
  unmarked.header.flags = 0;
  refuse(unmarked, "not marked");
  refuse(make_record(record::encode_key_set(64, columns({"c"}), 1), 6), "registered twice");
  refuse(make_record(record::encode_key_set(63, columns({"c"}), 1), 6), "kind 63");
  refuse(make_record(record::encode_key_set(80, columns({"c", "c"}), 1), 6), "same key twice");
  refuse(make_record(record::encode_key_set(80, columns({"\xff"}), 1), 6), "malformed key");
  refuse(make_record(record::encode_config({}, 1), 6, shm::kFlagRow), "wrongly marked");
  refuse(make_record(record::encode_free_row(0, 0, {}), 7), "wrongly marked");
  EXPECT_EQ(lane_.stored, 1u);
}

// What the store copies is copied here, where one ring pays for what it holds.
TEST_F(HandlerTest, ARecordThatCannotBeReadToItsEndIsAViolation) {
  EXPECT_THAT(give(make_record(unreadable_config(), 0)), FailsWith(Code::kCorrupt));
  EXPECT_TRUE(batch_.commit.records.empty());
}

// What is more than a public sequence number has room for would also wrap around.
TEST_F(HandlerTest, SequenceNumbersHaveAnEnd) {
  register_keys(64, {"a"});
  for (const uint64_t seq : {UINT64_MAX, store::kSeqEnd}) {
    EXPECT_THAT(give(make_row(64, seq, 0, 0, {1})),
                FailsWith(Code::kCorrupt, HasSubstr("sequence number")));
    EXPECT_THAT(give(make_record(record::encode_config({}, 1), seq)),
                FailsWith(Code::kCorrupt, HasSubstr("sequence number")));
  }
  EXPECT_EQ(lane_.next_seq, 0u);
  EXPECT_THAT(give(make_row(64, store::kSeqEnd - 1, 0, 0, {1})), IsOk());
}

TEST_F(HandlerTest, RowsWithOtherPointersAreReadWithLimits) {
  register_keys(64, {"a"});
  OwnedRecord far = make_row(64, 0, 0, 0, {1});
  far.payload[3] = record::row_list_pointer(uint64_t{1} << 28);
  EXPECT_THAT(give(far), FailsWith(Code::kCorrupt));
  OwnedRecord moved = make_row(64, 1, 9, 8, {1});
  // The list stands one word further on: legal, though no template of ours.
  moved.payload.insert(moved.payload.begin() + 4, 0);
  moved.payload[3] += 4;
  moved.header.bytes += 8;
  ASSERT_THAT(give(moved), IsOk());
  EXPECT_EQ(batch_.commit.blocks.at(0).step, std::vector<uint64_t>{9});
}

TEST_F(HandlerTest, MalformedKeysRefuseTheRecordOnly) {
  EXPECT_THAT(give(free_row(0, {{"\xc3", 1.0}})), FailsWith(Code::kInvalidArgument));
  EXPECT_THAT(give(free_row(1, {{"a", "\xff"}})), FailsWith(Code::kInvalidArgument));
  EXPECT_THAT(give(free_row(2, {{"", 1.0}})), FailsWith(Code::kInvalidArgument));
  EXPECT_THAT(give(make_record(record::encode_file({.name = "../up", .source = "/x"}, 1), 3)),
              FailsWith(Code::kInvalidArgument));
  EXPECT_EQ(lane_.refused, 4u);
  EXPECT_THAT(give(free_row(3, {{"a", 1.0}})), IsOk());
}

// One rank that invents keys without end uses the run's columns up; that costs another only the
// rows for which there are none.
TEST_F(HandlerTest, ARunWithoutColumnsLeftRefusesRowsAndNoRing) {
  std::vector<store::KeySet> stored(1);
  stored[0].id = 1;
  stored[0].columns.resize(kColumnsPerRunMax - 1);
  Handler full(std::move(stored), nullptr);
  const auto take = [&](const OwnedRecord& record) {
    return full.handle(lane_, record.view(), notes_, batch_);
  };
  const auto keys = [&](uint16_t kind, const std::vector<std::string>& names) {
    return make_record(record::encode_key_set(kind, columns(names), 1), lane_.next_seq);
  };
  EXPECT_THAT(take(keys(64, {"loss"})), IsOk());
  EXPECT_THAT(take(keys(65, {"new"})), FailsWith(Code::kTooLarge));
  EXPECT_THAT(take(make_row(65, 0, 0, 1, {1})), FailsWith(Code::kTooLarge));
  EXPECT_THAT(take(make_row(64, 1, 1, 1, {3})), IsOk());
  EXPECT_EQ(lane_.stored, 1u);
  EXPECT_EQ(lane_.refused, 2u);
  EXPECT_EQ(lane_.next_seq, 2u);
  // The store keeps it, for a service that goes on with the ring.
  Lane restored;
  EXPECT_THAT(full.restore_kind(restored, 65, lane_.kinds.at(1).key_set), IsOk());
  EXPECT_THAT(full.handle(restored, make_row(65, 2, 2, 1, {1}).view(), notes_, batch_),
              FailsWith(Code::kTooLarge));
}

// What the library lets through ends at most in an empty object, which has no level of its own.
TEST_F(HandlerTest, TheDeepestRowOfTheLibraryIsKept) {
  std::array<Item, record::kValueDepthMax - 1> levels;
  Value value = std::span<const Item>();
  for (Item& level : levels) {
    level = {"k", value};
    value = std::span<const Item>(&level, 1);
  }
  const Item top{"top", value};
  ASSERT_THAT(record::check_items(std::span(&top, 1)), IsOk());
  const record::Words row = record::encode_free_row(0, 1, std::span(&top, 1));
  EXPECT_THAT(give(make_record(row, 0, shm::kFlagRow)), IsOk());
}

// Bits of real records are flipped: every answer is allowed but a crash, a row is never invented
// twice, and what is kept can be read to its last field.
TEST_F(HandlerTest, FlippedBitsNeverCrashAndNothingUnreadableIsKept) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  constexpr double kNumbers[] = {1.0, 2.0};
  constexpr int64_t kIntegers[] = {1, 2};
  const Item inner[] = {{"b", 1.0}, {"c", "text"}};
  const Item nested[] = {{"a", std::span<const Item>(inner)},
                         {"l", Value(std::span<const double>())},
                         {"d", Value(std::span<const double>(kNumbers))},
                         {"i", Value(std::span<const int64_t>(kIntegers))}};
  const record::Words originals[] = {record::encode_free_row(1, 2, nested),
                                     record::encode_config(nested, 3),
                                     record::encode_key_set(64, columns({"a", "b"}), 4),
                                     record::encode_alert("title", "text", AlertLevel::kInfo, 5),
                                     record::encode_finish(0, false, 6)};
  for (int round = 0; round < 20'000; ++round) {
    Lane lane;
    OwnedRecord record = make_record(originals[random.below(std::size(originals))], 0,
                                     random.one_in(2) ? shm::kFlagRow : uint8_t{0});
    for (uint64_t flips = random.between(1, 3); flips > 0; --flips) {
      record.payload[random.below(record.payload.size())] ^= uint64_t{1} << random.below(64);
    }
    static_cast<void>(give(record, lane));
    for (const store::RecordEntry& kept : batch_.commit.records) {
      EXPECT_THAT(record::try_read([&] {
                    record::MessageView view(std::as_bytes(std::span(kept.message)));
                    record::RecordReader().read(view.root<schema::Record>());
                  }),
                  IsOk());
    }
    batch_.commit.records.clear();
  }
}

// One producer's ring in the model: makes records and knows what they must become.
struct ModelLane {
  Lane lane;
  ProducerNotes notes;
  std::map<uint16_t, std::vector<std::string>> kinds;
  uint64_t attempted = 0;
  uint64_t stored = 0;
};

class HandlerModel {
 public:
  explicit HandlerModel(uint64_t seed) : random_(seed) {
    for (uint32_t producer = 1; producer <= 3; ++producer) {
      for (uint16_t ring = 0; ring < 2; ++ring) {
        ModelLane& lane = lanes_.emplace_back();
        lane.lane.producer = producer;
        lane.lane.ring = ring;
      }
    }
    batch_.serial = next_serial_++;
  }

  void step() {
    ModelLane& lane = lanes_[random_.below(lanes_.size())];
    if (random_.one_in(10)) ++lane.attempted;  // dropped
    if (lane.kinds.empty() || random_.one_in(40)) {
      add_kind(lane);
    } else if (random_.one_in(5)) {
      add_free_row(lane);
    } else if (random_.one_in(30)) {
      give(lane, make_record(record::encode_config(std::array{Item{"c", 1}}, 1), lane.attempted));
      ++records_;
    } else {
      add_row(lane);
    }
    if (random_.one_in(50)) cut();
  }

  void check() {
    cut();
    EXPECT_EQ(collector_.lanes(), expected_);
    EXPECT_EQ(found_records_, records_);
    for (const ModelLane& lane : lanes_) EXPECT_EQ(lane.lane.stored, lane.stored);
  }

 private:
  void cut() {
    collector_.take(batch_);
    found_records_ += batch_.commit.records.size();
    batch_ = Batch{};
    batch_.serial = next_serial_++;
  }
  void give(ModelLane& lane, const OwnedRecord& record) {
    ASSERT_THAT(handler_.handle(lane.lane, record.view(), lane.notes, batch_), IsOk());
  }
  void add_kind(ModelLane& lane) {
    const auto kind = static_cast<uint16_t>(64 + lane.kinds.size());
    std::vector<std::string> names;
    for (uint64_t i = random_.below(4); i < 5; ++i) names.push_back("k" + std::to_string(i));
    lane.kinds[kind] = names;
    give(lane, make_record(record::encode_key_set(kind, columns(names), 1), lane.attempted));
  }
  void add_row(ModelLane& lane) {
    const auto kind =
        std::next(lane.kinds.begin(), static_cast<ptrdiff_t>(random_.below(lane.kinds.size())));
    std::vector<uint64_t> bits;
    StoredRow row{random_.bits(), static_cast<int64_t>(random_.bits()), {}};
    for (const std::string& name : kind->second) {
      bits.push_back(random_.bits());
      row.cells[name] = {store::ColumnType::kFloat64, bits.back(), ""};
    }
    expect(lane, row);
    give(lane, make_row(kind->first, lane.attempted++, row.step, row.time_ns, bits));
  }
  void add_free_row(ModelLane& lane) {
    const uint64_t number = random_.bits() >> 1;
    StoredRow row{random_.below(1000), 77, {}};
    record::Words words;
    if (random_.one_in(2)) {
      const Item items[] = {{"k4", std::bit_cast<double>(number)}};
      words = record::encode_free_row(row.step, row.time_ns, items);
      row.cells["k4"] = {store::ColumnType::kFloat64, number, ""};
    } else {
      const Item inner[] = {{"x", number}, {"y", random_.one_in(2)}};
      const Item items[] = {{"in", Value(std::span<const Item>(inner))}};
      words = record::encode_free_row(row.step, row.time_ns, items);
      row.cells[record::join_path({"in", "x"})] = {store::ColumnType::kInt64, number, ""};
      row.cells[record::join_path({"in", "y"})] = {
          store::ColumnType::kBool, inner[1].value.boolean() ? uint64_t{1} : uint64_t{0}, ""};
    }
    expect(lane, row);
    give(lane, make_record(words, lane.attempted++, shm::kFlagRow));
  }
  void expect(ModelLane& lane, const StoredRow& row) {
    expected_[{lane.lane.producer, lane.lane.ring}][lane.attempted] = row;
    ++lane.stored;
  }

  test::Random random_;
  Handler handler_{{}, nullptr};
  std::vector<ModelLane> lanes_;
  Batch batch_;
  uint64_t next_serial_ = 1;
  Collector collector_;
  Lanes expected_;
  size_t records_ = 0;
  size_t found_records_ = 0;
};

TEST(HandlerModelTest, AnyInterleavingAndBatchingKeepsEveryRow) {
  const uint64_t seed = test::seed();
  for (uint64_t round = 0; round < 10; ++round) {
    SCOPED_TRACE(test::seed_text(seed + round));
    HandlerModel model(seed + round);
    for (int i = 0; i < 2000; ++i) model.step();
    model.check();
  }
}

}  // namespace
}  // namespace ringlog::service
