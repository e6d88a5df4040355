// A store that an earlier version wrote reads back exactly, forever.
//
// tests/store/golden/v<format>/ is a run as that version left it, and v<format>.txt says in plain
// text what it holds.  Both are written once for each version, by UPDATE_GOLDEN=1 (golden.h).
// LevelDB's LOG and LOCK are left out: they hold nothing of the run.

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "golden.h"
#include "record/path.h"
#include "store/limits.h"
#include "store_fixture.h"

namespace ringlog::store {
namespace {

namespace fs = std::filesystem;

std::string golden_dir(uint32_t version) {
  return test::source_dir() / "tests/store/golden" / ("v" + std::to_string(version));
}

std::string read_text(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Line by line, so that a failure shows where.
void expect_same_lines(const std::string& found_text, const std::string& wanted_text) {
  ASSERT_GT(wanted_text.size(), 1000U);
  std::istringstream want(wanted_text);
  std::istringstream got(found_text);
  std::string wanted;
  std::string found;
  while (std::getline(want, wanted)) {
    ASSERT_TRUE(std::getline(got, found)) << "ends before: " << wanted;
    ASSERT_EQ(found, wanted);
  }
  EXPECT_FALSE(std::getline(got, found)) << "more than expected: " << found;
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned char>(c));
    text += digits;
  }
  return text;
}

std::string joined(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& entry : list) text += "[" + entry + "]";
  return text;
}

void describe(const RunMeta& m, std::ostream& out) {
  out << "meta " << m.run_id << " " << m.project << " " << m.name << " " << m.group << " "
      << joined(m.tags) << " " << m.notes << " " << m.created_ns << " " << m.host << " "
      << joined(m.command) << " " << m.version << " " << joined(m.sinks) << " " << m.state << " "
      << m.ended_ns << "\n";
}

void describe(const ProducerState& p, std::ostream& out) {
  out << "producer " << p.producer << " " << p.rank << " " << p.attempt << " " << p.worker << " "
      << p.pid << " " << p.pid_start << " " << p.host << " " << p.state << " " << p.exit_code << " "
      << p.signal << " [" << p.cause << "] " << p.started_ns << " " << p.ended_ns << " "
      << p.segment << " " << p.next_step << " " << p.local_rank << " " << p.world_size << "\n";
  for (const RingState& r : p.rings) {
    out << "  ring " << r.position << " " << r.next_seq << " " << r.stored << " " << r.dropped
        << " " << r.missing << " [" << r.poisoned << "]";
    for (const auto& [kind, keys] : r.key_sets) out << " " << kind << "=" << keys;
    out << "\n";
  }
}

void describe_rows(RunReader& reader, std::ostream& out) {
  ASSERT_THAT(reader.for_each_row(
                  {},
                  [&](const RowView& row) {
                    out << "row " << row.producer().producer << " " << row.ring() << " "
                        << row.seq() << " " << row.public_seq() << " " << row.step() << " "
                        << row.time_ns();
                    for (size_t i = 0; i < row.size(); ++i) {
                      const bool is_other = row.column(i).type == ColumnType::kOther;
                      char bits[20];
                      std::snprintf(bits, sizeof(bits), "%016lx", is_other ? 0 : row.bits(i));
                      out << " " << (is_other ? to_json(*row.value(i)) : std::string(bits));
                    }
                    out << "\n";
                    return true;
                  }),
              IsOk());
}

// Everything a reader can say about a run.
std::string describe(RunReader& reader) {
  std::ostringstream out;
  describe(*reader.meta(), out);
  const std::vector<ProducerState> producers = *reader.producers();
  for (const ProducerState& producer : producers) describe(producer, out);
  const std::vector<KeySet> key_sets = *reader.key_sets();
  for (const KeySet& keys : key_sets) {
    out << "keys " << keys.id;
    for (const Column& c : keys.columns)
      out << " " << hex(c.path) << ":" << static_cast<int>(c.type);
    out << "\n";
  }
  const std::map<std::string, SinkState> sinks = *reader.sinks();
  for (const auto& [name, sink] : sinks) {
    out << "sink " << name << " " << sink.chunk_lsn << " " << sink.record_lsn << " " << sink.rows
        << " " << sink.cursor;
    for (const auto& [lane, seq] : sink.lanes)
      out << " " << lane.producer << "." << lane.ring << "=" << seq;
    out << "\n";
  }
  EXPECT_THAT(reader.for_each_record(std::nullopt, 0,
                                     [&](const RecordView& view) {
                                       out << "record " << view.lsn << " " << view.producer << " "
                                           << view.seq << " "
                                           << static_cast<uint16_t>(view.record.which()) << " "
                                           << view.record.getTimeNs() << "\n";
                                       return true;
                                     }),
              IsOk());
  out << "config " << to_json(*reader.config()) << "\n";
  out << "summary " << to_json(*reader.summary()) << "\n";
  describe_rows(reader, out);
  return out.str();
}

// A simple generator, so that the store is the same wherever it is made.
uint64_t scramble(uint64_t i) {
  i = (i ^ (i >> 30)) * 0xbf58'476d'1ce4'e5b9;
  i = (i ^ (i >> 27)) * 0x94d0'49bb'1331'11eb;
  return i ^ (i >> 31);
}

std::vector<KeySet> golden_keys() {
  KeySet loss{
      .id = 1,
      .columns = {{"loss"}, {"lr"}, {"tokens", ColumnType::kInt64}, {"ok", ColumnType::kBool}}};
  KeySet mixed{.id = 2,
               .columns = {{record::join_path({"eval", "acc.top1"})},
                           {"note", ColumnType::kOther},
                           {"big", ColumnType::kUint64}}};
  KeySet wide{.id = 3, .columns = {}};
  for (int i = 0; i < 60; ++i) wide.columns.push_back({"w" + std::to_string(i)});
  return {loss, mixed, wide, KeySet{.id = 4, .columns = {}}};
}

std::vector<uint64_t> golden_cells(const KeySet& keys, uint64_t seq) {
  std::vector<uint64_t> cells;
  for (size_t i = 0; i < keys.number_count(); ++i) {
    const uint64_t noise = scramble(seq * 1000 + i);
    const float value = static_cast<float>(noise >> 40) / 1e5F;
    if (i == 0) cells.push_back(seq % 97 == 0 ? noise | 0x7ff0'0000'0000'0000 : bits_of(value));
    if (i == 1) cells.push_back(bits_of(seq % 2 == 0 ? -0.0 : 1e-300));
    if (i == 2) cells.push_back(seq * 4096 + noise % 7);
    if (i == 3) cells.push_back(noise % 2);
    if (i > 3) cells.push_back(bits_of(static_cast<double>(i) + value));
  }
  return cells;
}

// Rows [begin, end) of a lane; every 50th is of another key set.
void add_golden_rows(Commit& commit, LaneId lane, const KeySet& keys, uint64_t begin,
                     uint64_t end) {
  const KeySet mixed = golden_keys()[1];
  RowBlock block(lane, keys);
  RowBlock others(lane, mixed);
  for (uint64_t seq = begin; seq < end; ++seq) {
    const auto time_ns =
        static_cast<int64_t>(1'700'000'000'000'000'000 + seq * 1'000'000 + scramble(seq) % 50'000);
    if (seq % 50 == 49) {
      const std::string note = text_value("row " + std::to_string(seq));
      const std::string_view bytes(note);
      const std::vector<uint64_t> cells = golden_cells(mixed, seq);
      others.add_row(seq, seq / 2, time_ns, cells, std::span(&bytes, 1));
    } else {
      block.add_row(seq, seq / 2, time_ns, golden_cells(keys, seq));
    }
  }
  commit.blocks.push_back(std::move(block));
  commit.blocks.push_back(std::move(others));
}

ProducerState golden_producer(uint32_t id, uint64_t rows) {
  ProducerState p;
  p.producer = id;
  p.rank = id == 2 ? 1 : 0;
  p.attempt = id == 3 ? 1 : 0;
  p.worker = id == 3 ? 2 : 0;
  p.pid = 1000 + static_cast<int32_t>(id);
  p.pid_start = 77;
  p.host = "golden";
  p.state = id == 2 ? "crashed" : "finished";
  p.signal = id == 2 ? 9 : 0;
  p.cause = id == 2 ? "killed by signal 9" : "";
  p.started_ns = 5;
  p.ended_ns = 6;
  p.segment = "segment-" + std::to_string(id);
  p.rings = {
      {.position = rows * 80, .next_seq = rows, .stored = rows, .key_sets = {{64, 1}, {65, 2}}},
      {.poisoned = id == 2 ? "a header that no program writes" : ""}};
  p.next_step = rows / 2;
  p.local_rank = -1;
  p.world_size = 2;
  return p;
}

RecordEntry golden_config(const char* key, double value) {
  return record_entry(1, [&](schema::Record::Builder record) {
    record.setTimeNs(42);
    auto fields = record.initConfig(1);
    fields[0].setKey(key);
    auto inner = fields[0].initValue().initObject(2);
    inner[0].setKey("value");
    inner[0].initValue().setFloat64(value);
    inner[1].setKey("list");
    inner[1].initValue().initInt64List(2).set(1, -7);
  });
}

void write_golden(const std::string& dir) {
  const std::vector<KeySet> keys = golden_keys();
  auto store = open_store(dir);
  Commit first;
  first.key_sets = keys;
  first.meta = RunMeta{.run_id = "golden",
                       .project = "demo",
                       .name = "a golden run",
                       .group = "g",
                       .tags = {"x", "y"},
                       .notes = "notes\nin two lines",
                       .created_ns = 123,
                       .host = "golden",
                       .command = {"train", "--fast"},
                       .version = "0.1.0",
                       .sinks = {"wandb+https://example.org"},
                       .state = "finished",
                       .ended_ns = 456};
  add_golden_rows(first, {1, 0}, keys[0], 0, 150);
  first.records = {golden_config("opt", 0.5), golden_config("data", -0.0)};
  ASSERT_THAT(store->write(first, true), IsOk());
  Commit second;
  add_golden_rows(second, {1, 0}, keys[0], 150, 300);
  second.ended = {1};  // merges both chunks
  ASSERT_THAT(store->write(second, false), IsOk());
  for (uint64_t i = 0; i < 80; ++i) {  // small chunks, and their merging
    Commit small;
    add_golden_rows(small, {2, 0}, keys[0], i * 3, i * 3 + 3);
    small.producers = {golden_producer(2, i * 3 + 3)};
    ASSERT_THAT(store->write(small, false), IsOk());
  }
  store.reset();  // what came so far becomes tables, what follows stays in the log
  store = open_store(dir);
  Commit last;
  add_golden_rows(last, {3, 1}, keys[2], 0, 12);
  RowBlock empty({3, 0}, keys[3]);
  empty.add_row(0, 7, -1, {});
  last.blocks.push_back(empty);
  last.producers = {golden_producer(1, 300), golden_producer(2, 240), golden_producer(3, 12)};
  ASSERT_THAT(store->write(last, false), IsOk());
  const SinkState sink{
      .chunk_lsn = 3, .record_lsn = 2, .lanes = {{{1, 0}, 77}}, .rows = 9, .cursor = "c"};
  ASSERT_THAT(store->put_sink_state("jsonl", sink), IsOk());
  ASSERT_THAT(store->put_blob({1, 2}, "a record on its way"), IsOk());
}

TEST(Golden, AStoreOfThisVersionHoldsWhatItsGoldenOneDoes) {
  const std::string golden = golden_dir(kFormatVersion);
  // Once for each version: what stands there was written by a program that people have.
  if (test::updates_golden() && !fs::exists(golden)) {
    write_golden(golden);
    for (const char* name : {"LOG", "LOG.old", "LOCK"}) fs::remove(golden + "/store/" + name);
    std::ofstream(golden + ".txt") << describe(*open_reader(golden));
  }
  const test::TempDir dir;
  write_golden(dir.path());
  expect_same_lines(describe(*open_reader(dir.path())), read_text(golden + ".txt"));
}

TEST(Golden, StoresOfEveryVersionReadBackExactly) {
  for (uint32_t version = 1; version <= kFormatVersion; ++version) {
    const std::string dir = golden_dir(version);
    SCOPED_TRACE(dir);
    Result<std::unique_ptr<RunReader>> reader = RunReader::open(dir);
    ASSERT_THAT(reader, IsOk());
    EXPECT_TRUE((*reader)->damage().empty());
    expect_same_lines(describe(**reader), read_text(dir + ".txt"));
  }
}

TEST(Golden, AServiceGoesOnWithAStoreOfEveryVersion) {
  for (uint32_t version = 1; version <= kFormatVersion; ++version) {
    const test::TempDir copy;
    fs::copy(golden_dir(version), copy.path(), fs::copy_options::recursive);
    const uint64_t rows = *open_reader(copy.path())->row_count();
    {
      const auto store = open_store(copy.path());
      EXPECT_TRUE(store->repaired().empty());
      EXPECT_EQ(*store->get_blob({1, 2}), "a record on its way");
      Commit more;
      add_golden_rows(more, {1, 0}, golden_keys()[0], 300, 400);
      more.ended = {1, 2, 3};
      ASSERT_THAT(store->write(more, true), IsOk());
    }
    EXPECT_EQ(*open_reader(copy.path())->row_count(), rows + 100);
  }
}

}  // namespace
}  // namespace ringlog::store
