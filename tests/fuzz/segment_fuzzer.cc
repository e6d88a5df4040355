// A whole segment: taken in, drained and let go by the real Intake, beside a healthy one.
//
//   count:u8 · that many times offset:u16 · value:u8     bytes of the header, before it is opened
//   then, until the end, operations:  op:u8 …
//     0  place:u8 · offset:u16 · size:u8 · bytes   written over page `place`, or a ring
//     1                                            drain and store
//     2  ring:u8 · value:u64                       a row of the registered keys, published
//     3  ring:u8 · size:u16 · message              a record, published
//     4  pages:u8                                  the file is cut to so many pages
//     5  place:u8                                  a hole in its place
//     6                                            the process ends
//     7                                            the service is killed; the next one goes on
//     8  ring:u8 · kind:u16 · size:u8 · payload    a row of any kind and bytes, published
//     9  ring:u8 · count:u8 ×16                    so many rows of the registered keys, or as many
//                                                  as there is room for
//
// Whatever it does, the healthy process's rows are all stored bit-exactly, both processes come to
// an end that is stored, positions never go back, and only rings of the bad process are poisoned.

#include <array>

#include "record/row_template.h"
#include "tests/fuzz/drained_run.h"

namespace ringlog::fuzz {
namespace {

constexpr uint16_t kKind = 64;
constexpr uint32_t kBadRings = 2;
// Turns after which everything must have ended: each drains at least one record of each ring.
constexpr int kTurnsMax = 200;

class Game {
 public:
  Game(SegmentFile& bad, SegmentFile& good) : bad_(bad), good_(good) {
    bad_.clear();
    good_.clear();
    const std::array columns = {record::ColumnSpec{"a", schema::ColumnType::FLOAT64}};
    const record::Words keys = record::encode_key_set(kKind, columns, 1);
    for (uint32_t ring = 0; ring < kBadRings; ++ring) bad_.append(ring, keys, 0);
    good_.append(0, keys, 0);
  }

  void play(Input& input) {
    for (int count = input.take<uint8_t>(); count > 0; --count) {
      const uint64_t offset = input.take<uint16_t>() % shm::kPageSize;
      bad_.write(offset, input.take_bytes(1));
    }
    DrainedRun run(bad_, good_);
    while (!input.is_empty()) {
      log_good(run);
      step(input, run);
    }
    finish(run);
  }

 private:
  bool log_row(SegmentFile& file, uint32_t ring, uint64_t step, uint64_t bits, uint64_t head) {
    const uint64_t words[] = {record::kRowRootPointer, step, 1, record::row_list_pointer(1), bits};
    return file.append(ring, kKind, shm::kFlagRow, std::as_bytes(std::span(words)), head);
  }
  void log_good(DrainedRun& run) {
    const uint64_t seq = good_.next_seq(0);
    log_row(good_, 0, seq * 3, seq * 7, run.head(DrainedRun::kGood, 0));
  }
  // Where a place begins: pages before the rings, then the two rings and the end of the first one.
  uint64_t offset_of(uint8_t place) const {
    const auto& rings = bad_.header().rings;
    const uint8_t index = place % (SegmentFile::kControlPages + 3);
    if (index < SegmentFile::kControlPages) return index * shm::kPageSize;
    if (index == SegmentFile::kControlPages) return rings[0].data_offset;
    if (index == SegmentFile::kControlPages + 1) return rings[1].data_offset;
    return rings[0].data_offset + rings[0].capacity - shm::kPageSize;
  }
  void step(Input& input, DrainedRun& run) {
    const uint8_t op = input.take<uint8_t>() % 10;
    switch (op) {
      case 0: {
        const uint64_t offset = offset_of(input.take<uint8_t>()) + input.take<uint16_t>();
        return bad_.write(offset, input.take_bytes(input.take<uint8_t>()));
      }
      case 1:
        return run.turn();
      case 4:
        return bad_.cut(
            std::min<uint64_t>(input.take<uint8_t>() * shm::kPageSize, bad_.header().file_size));
      case 5:
        return bad_.punch(offset_of(input.take<uint8_t>()), shm::kPageSize);
      case 6:
        return run.end(DrainedRun::kBad);
      case 7:
        return run.restart();
      default:
        return publish(op, input, run);
    }
  }
  void publish(uint8_t op, Input& input, DrainedRun& run) {
    const uint32_t ring = input.take<uint8_t>() % kBadRings;
    const uint64_t head = run.head(DrainedRun::kBad, ring);
    if (op == 2) {
      log_row(bad_, ring, 1, input.take<uint64_t>(), head);
      return;
    }
    if (op == 9) {
      for (int left = input.take<uint8_t>() * 16; left > 0; --left) {
        if (!log_row(bad_, ring, 1, static_cast<uint64_t>(left), head)) return;
      }
      return;
    }
    const bool is_row = op == 8;
    const uint16_t kind = is_row ? input.take<uint16_t>() : shm::kKindRecord;
    const size_t size = is_row ? input.take<uint8_t>() : input.take<uint16_t>();
    bad_.append(ring, kind, is_row ? shm::kFlagRow : 0, input.take_bytes(size), head);
  }
  void finish(DrainedRun& run) {
    if (run.has_bad()) run.end(DrainedRun::kBad);
    run.end(DrainedRun::kGood);
    const auto is_over = [&] {
      return run.is_settled(DrainedRun::kGood) &&
             (run.is_settled(DrainedRun::kBad) || !run.has_bad());
    };
    for (int turn = 0; turn < kTurnsMax && !is_over(); ++turn) run.turn();
    require(is_over(), "both processes come to an end");
    require(run.good_rows() == good_.next_seq(0), "no row of the healthy process is lost");
    require(run.state(DrainedRun::kGood).rings[0].position == good_.tail(0), "it is drained");
  }

  SegmentFile& bad_;
  SegmentFile& good_;
};

}  // namespace
}  // namespace ringlog::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ringlog::fuzz::SegmentFile;
  static SegmentFile bad(ringlog::fuzz::DrainedRun::kBad);
  static SegmentFile good(ringlog::fuzz::DrainedRun::kGood);
  ringlog::fuzz::Input input(data, size);
  ringlog::fuzz::Game(bad, good).play(input);
  return 0;
}
