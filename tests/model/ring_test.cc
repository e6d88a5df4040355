// The ring under the memory model: commit and poll, give_back and reserve, waiting for room.
//
// Steps and lines: RingWriter::try_reserve(), commit(), wait_reserve(), count_drop() and
// RingReader::poll(), give_back() run as they stand in lib/shm (production.h); one step is one
// access to tail, head, room or waiting, one fence or one futex call.  What the service does
// between poll() and give_back(), copying to the store, is no step.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "production.h"

namespace ringlog::shm {
namespace {

using model::Fate;
using model::Kind;
using model::Operation;
using model::Program;
using model::Report;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr uint64_t kCapacity = 64;
constexpr uint32_t kBytes = 24;  // a record with one word: two fit, the third runs past the end
constexpr size_t kProducer = 0;
constexpr size_t kService = 1;

// What both ends share.
struct Shared {
  RingConsumer consumer{};
  RingProducer producer{};
  DoorbellPage doorbell{};
  std::array<std::byte, 2 * kCapacity> data{};
  // Results: what the service got, what the producer dropped.
  uint64_t got[8] = {};
  uint64_t got_count = 0;
  uint64_t dropped = 0;
};
Shared* g = nullptr;

void set_up() {
  g = &model::make<Shared>();
  g_model_files = {g->data.data()};
  model::name(&g->producer.tail, "tail");
  model::name(&g->consumer.head, "head");
  model::name(&g->consumer.room, "room");
  model::name(&g->producer.waiting, "waiting");
  // Words that only count, and the doorbell, which has a model of its own.
  for (const void* word : std::initializer_list<const void*>{
           &g->producer.in_use, &g->producer.blocked_ns, &g->doorbell.asleep}) {
    model::ignore(word);
  }
}

RingWriter writer() { return {g->producer, g->consumer, g->data.data(), kCapacity, g->doorbell}; }
RingReader reader() { return {0, {0, kCapacity}, g->producer, g->consumer, 0}; }

uint64_t payload_of(uint64_t seq) { return 1000 + seq; }

void write(RingWriter& ring, std::byte* at, uint64_t seq) {
  const RecordHeader header{kBytes, kKindRowFirst, kFlagRow, 2, seq};
  const uint64_t payload = payload_of(seq);
  std::memcpy(at, &header, sizeof header);
  std::memcpy(at + sizeof header, &payload, sizeof payload);
  ring.commit(kBytes);
}

// One turn of the service; false when the ring is corrupt, which it never is here.
void take(RingReader& ring) {
  std::vector<std::byte> scratch;
  std::vector<RecordView> views;
  const Status status = ring.poll(kRecordSizeMax, scratch, views);
  model::check(static_cast<bool>(status), "a record that was never written");
  for (const RecordView& view : views) {
    uint64_t payload = 0;
    model::check(view.payload_untrusted.size() == 8, "a torn record");
    std::memcpy(&payload, view.payload_untrusted.data(), sizeof payload);
    model::check(payload == payload_of(view.header.seq), "a torn record");
    g->got[g->got_count++] = view.header.seq;
  }
}

void expect_all_accounted_for(uint64_t attempts) {
  RingReader at_tail(0, {0, kCapacity}, g->producer, g->consumer,
                     g->consumer.head.load(std::memory_order_relaxed));
  take(at_tail);
  uint64_t next = 0;
  uint64_t gaps = 0;
  for (uint64_t i = 0; i < g->got_count; ++i) {
    model::check(g->got[i] >= next, "a record twice or out of order");
    gaps += g->got[i] - next;
    next = g->got[i] + 1;
  }
  gaps += attempts - next;
  model::check(gaps == g->dropped, "a record lost without being counted");
}

// Between two marks a commit has no fence, which is the weaker case.
Fate without_marks(size_t thread, const Operation& operation) {
  return thread == kProducer && operation.kind == Kind::kFence ? Fate::kDrop : Fate::kKeep;
}

// The producer drops what does not fit; the service takes turns.
constexpr uint64_t kAttempts = 5;
Program dropping_producer() {
  Program program;
  program.set_up = set_up;
  program.threads = {{"producer",
                      [] {
                        RingWriter ring = writer();
                        uint64_t dropped = 0;
                        for (uint64_t attempt = 0; attempt < kAttempts; ++attempt) {
                          const uint64_t seq = ring.take_seq();
                          std::byte* const at = ring.try_reserve(kBytes);
                          if (at == nullptr) {
                            ++dropped;
                          } else {
                            write(ring, at, seq);
                          }
                        }
                        g->dropped = dropped;
                      }},
                     {"service", [] {
                        RingReader ring = reader();
                        for (int turn = 0; turn < 3; ++turn) {
                          take(ring);
                          ring.give_back(ring.position());
                        }
                      }}};
  program.at_end = [] { expect_all_accounted_for(kAttempts); };
  program.mutate = without_marks;
  return program;
}

// The producer waits for room, with infinite patience.
Program waiting_producer() {
  constexpr uint64_t kRecords = 3;
  Program program;
  program.set_up = set_up;
  program.threads = {{"producer",
                      [] {
                        RingWriter ring = writer();
                        for (uint64_t seq = 0; seq < kRecords; ++seq) {
                          write(ring, ring.wait_reserve(kBytes, std::chrono::nanoseconds::max()),
                                ring.take_seq());
                        }
                      }},
                     {"service", [] {
                        RingReader ring = reader();
                        while (g->got_count < kRecords) {
                          // Sleeping until there is something is the doorbell's part.
                          model::await_at_least(g->producer.tail, ring.position() + kBytes);
                          take(ring);
                          ring.give_back(ring.position());
                        }
                      }}};
  program.at_end = [] { expect_all_accounted_for(kRecords); };
  return program;
}

// The producer counts two drops; the service reads the counters as refresh_state() in
// daemon/port.cc.
Program counting_producer() {
  Program program;
  program.set_up = set_up;
  program.threads = {
      {"producer",
       [] {
         RingWriter ring = writer();
         ring.take_seq();  // one that was written
         for (int drop = 0; drop < 2; ++drop) {
           ring.take_seq();
           ring.count_drop();
         }
       }},
      {"service", [] {
         const uint64_t attempted = g->producer.attempted_rows.load(std::memory_order_acquire);
         const uint64_t dropped = g->producer.dropped_rows.load(std::memory_order_relaxed);
         model::check(attempted == 0 || dropped + 1 >= attempted, "an attempt without its drop");
       }}};
  return program;
}

// The producer keeps a row for later and writes it when there is room, as PendingRows does; the
// service reads the counters and then the tail, as refresh_state() in daemon/port.cc.
Program keeping_producer() {
  Program program;
  program.set_up = set_up;
  program.threads = {
      {"producer",
       [] {
         RingWriter ring = writer();
         const uint64_t seq = ring.take_seq();
         ring.count_drop();
         write(ring, ring.try_reserve(kBytes), seq);
         ring.take_back_drop();
       }},
      {"service", [] {
         const uint64_t attempted = g->producer.attempted_rows.load(std::memory_order_acquire);
         const uint64_t dropped = g->producer.dropped_rows.load(std::memory_order_acquire);
         const bool is_all_drained = reader().backlog() == 0;
         model::check(!is_all_drained || attempted <= dropped,
                      "a row that is neither kept nor there");
       }}};
  program.mutate = without_marks;
  return program;
}

// The same program with one of its operations weakened or left out.
template <typename Change>
Report with(Program program, Change change) {
  program.mutate = [before = program.mutate, change](size_t thread, Operation& operation) {
    return before(thread, operation) == Fate::kDrop ? Fate::kDrop : change(thread, operation);
  };
  return explore(program);
}
bool is(const Operation& operation, Kind kind, const void* address) {
  return operation.kind == kind && operation.address == address;
}

TEST(RingModel, LosesTearsAndReordersNothing) {
  const Report report = explore(dropping_producer());
  EXPECT_EQ(report.violation, "") << report.trace;
  EXPECT_GT(report.ends, 100u);
}

TEST(RingModel, ProducerThatWaitsForRoomIsAlwaysWoken) {
  const Report report = explore(waiting_producer());
  EXPECT_EQ(report.violation, "") << report.trace;
  EXPECT_GT(report.ends, 10u);
}

TEST(RingModel, DropsAreNeverBehindTheAttempts) {
  const Report report = explore(counting_producer());
  EXPECT_EQ(report.violation, "") << report.trace;
}

TEST(RingModel, AKeptRowIsCountedUntilItIsThere) {
  const Report report = explore(keeping_producer());
  EXPECT_EQ(report.violation, "") << report.trace;
}

// A mutant is caught when the model finds what is wrong with it.
TEST(RingMutant, AttemptsStoredRelaxed) {
  const Report report = with(counting_producer(), [](size_t, Operation& operation) {
    operation.order = std::memory_order_relaxed;
    return Fate::kKeep;
  });
  EXPECT_EQ(report.violation, "an attempt without its drop");
}

TEST(RingMutant, DropTakenBackRelaxed) {
  const Report report = with(keeping_producer(), [](size_t thread, Operation& operation) {
    if (thread == kProducer && is(operation, Kind::kStore, &g->producer.dropped_rows)) {
      operation.order = std::memory_order_relaxed;
    }
    return Fate::kKeep;
  });
  EXPECT_EQ(report.violation, "a row that is neither kept nor there");
}

TEST(RingMutant, DropsLoadedRelaxed) {
  const Report report = with(keeping_producer(), [](size_t thread, Operation& operation) {
    if (thread == kService && is(operation, Kind::kLoad, &g->producer.dropped_rows)) {
      operation.order = std::memory_order_relaxed;
    }
    return Fate::kKeep;
  });
  EXPECT_EQ(report.violation, "a row that is neither kept nor there");
}

TEST(RingMutant, DropTakenBackBeforeTheRowIsThere) {
  Program program = keeping_producer();
  program.threads[kProducer].body = [] {
    RingWriter ring = writer();
    const uint64_t seq = ring.take_seq();
    ring.count_drop();
    ring.take_back_drop();
    write(ring, ring.try_reserve(kBytes), seq);
  };
  EXPECT_EQ(explore(program).violation, "a row that is neither kept nor there");
}

TEST(RingMutant, TailStoredRelaxed) {
  const Report report = with(dropping_producer(), [](size_t, Operation& operation) {
    if (is(operation, Kind::kStore, &g->producer.tail)) operation.order = std::memory_order_relaxed;
    return Fate::kKeep;
  });
  EXPECT_THAT(report.violation, HasSubstr("race: service reads")) << report.states;
}

TEST(RingMutant, TailLoadedRelaxed) {
  const Report report = with(dropping_producer(), [](size_t thread, Operation& operation) {
    if (thread == kService && is(operation, Kind::kLoad, &g->producer.tail)) {
      operation.order = std::memory_order_relaxed;
    }
    return Fate::kKeep;
  });
  EXPECT_THAT(report.violation, HasSubstr("race: service reads"));
}

TEST(RingMutant, HeadStoredRelaxed) {
  const Report report = with(dropping_producer(), [](size_t, Operation& operation) {
    if (is(operation, Kind::kStore, &g->consumer.head)) operation.order = std::memory_order_relaxed;
    return Fate::kKeep;
  });
  EXPECT_THAT(report.violation, HasSubstr("race: producer writes"));
}

TEST(RingMutant, HeadLoadedRelaxed) {
  const Report report = with(dropping_producer(), [](size_t thread, Operation& operation) {
    if (thread == kProducer && is(operation, Kind::kLoad, &g->consumer.head)) {
      operation.order = std::memory_order_relaxed;
    }
    return Fate::kKeep;
  });
  EXPECT_THAT(report.violation, HasSubstr("race: producer writes"));
}

TEST(RingMutant, TailStoredBeforeTheRecordIsWritten) {
  Program program = dropping_producer();
  program.threads[kProducer].body = [] {
    RingWriter ring = writer();
    std::byte* const at = ring.try_reserve(kBytes);
    ring.commit(kBytes);
    const RecordHeader header{kBytes, kKindRowFirst, kFlagRow, 2, 0};
    const uint64_t payload = payload_of(0);
    std::memcpy(at, &header, sizeof header);
    std::memcpy(at + sizeof header, &payload, sizeof payload);
    g->dropped = kAttempts - 1;
  };
  EXPECT_THAT(explore(program).violation, AnyOf(HasSubstr("race"), HasSubstr("never written")));
}

TEST(RingMutant, RoomGivenBackBeforeItIsCopied) {
  Program program = dropping_producer();
  program.threads[kService].body = [] {
    RingReader ring = reader();
    for (int turn = 0; turn < 2; ++turn) {
      const uint64_t tail = ring.position() + ring.backlog();
      ring.give_back(tail);
      take(ring);
    }
  };
  EXPECT_NE(explore(program).violation, "");
}

TEST(RingMutant, NoFenceOfTheProducerBeforeItWaitsForRoom) {
  const Report report = with(waiting_producer(), [](size_t thread, Operation& operation) {
    return thread == kProducer && operation.kind == Kind::kFence ? Fate::kDrop : Fate::kKeep;
  });
  EXPECT_THAT(report.violation, HasSubstr("waits for ever")) << report.states;
}

TEST(RingMutant, NoFenceOfTheServiceAfterItGaveBack) {
  const Report report = with(waiting_producer(), [](size_t thread, Operation& operation) {
    return thread == kService && operation.kind == Kind::kFence ? Fate::kDrop : Fate::kKeep;
  });
  EXPECT_THAT(report.violation, HasSubstr("waits for ever"));
}

TEST(RingMutant, RoomWokenWithoutChangingItsWord) {
  const Report report = with(waiting_producer(), [](size_t, Operation& operation) {
    return is(operation, Kind::kAdd, &g->consumer.room) ? Fate::kDrop : Fate::kKeep;
  });
  EXPECT_THAT(report.violation, HasSubstr("waits for ever"));
}

}  // namespace
}  // namespace ringlog::shm
