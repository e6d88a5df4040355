// The doorbell under the memory model: whoever commits and rings is never slept through.
//
// Steps and lines: RingWriter::commit() with cross_mark() and ring(), RingReader::poll() and
// backlog(), announce_sleep(), sleep_on_doorbell(), cancel_sleep() and ring_doorbell() run as they
// stand in lib/shm (production.h); one step is one access to tail or asleep, one fence or one futex
// call.  The service's loop is the drain thread's: drain, announce, drain again, sleep.  Here it
// sleeps without the 50 ms at which it wakes by itself, so that a lost wake-up is the end.  Before
// each sleep it asks to be woken from the next mark on, after a sleep in which it asked for none.

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

constexpr uint64_t kCapacity = 1024;
constexpr uint32_t kLarge = kCapacity / kMarksPerRing;  // crosses a mark each time
constexpr uint32_t kSmall = 16;                         // crosses none

struct Ring {
  RingConsumer consumer{};
  RingProducer producer{};
};
struct Shared {
  Ring rings[2];
  DoorbellPage doorbell{};
};
Shared* g = nullptr;
// Ring bytes are the ring model's part: here a record's header is all that is read of one, and it
// is written once, before the threads.
std::array<std::byte, 2 * kCapacity> g_bytes;

void set_up() {
  g = &model::make<Shared>();
  for (size_t i = 0; i < 2; ++i) {
    model::name(&g->rings[i].producer.tail, "tail " + std::to_string(i));
    model::ignore(&g->rings[i].producer.in_use);
    model::ignore(&g->rings[i].consumer.head);
    model::name(&g->rings[i].consumer.wake_at, "wake_at " + std::to_string(i));
    g->rings[i].consumer.wake_at.store(kCapacity);
  }
  model::name(&g->doorbell.asleep, "asleep");
}

RingWriter writer(size_t ring) {
  return {g->rings[ring].producer, g->rings[ring].consumer, g_bytes.data(), kCapacity, g->doorbell};
}

// Commits `count` records of `bytes` in ring `ring`; rings itself if no mark does.
model::Thread producer(size_t ring, int count, uint32_t bytes) {
  return {"producer " + std::to_string(ring), [=] {
            RingWriter out = writer(ring);
            for (int i = 0; i < count; ++i) out.commit(bytes);
            if (bytes == kSmall) out.ring();
          }};
}

RingReader reader(size_t ring, uint64_t position) {
  return {0, {0, kCapacity}, g->rings[ring].producer, g->rings[ring].consumer, position};
}

// From the first mark behind `position` on.
void ask_for_wake(size_t ring, uint64_t position) { reader(ring, position).wake_ahead(kLarge); }

// The drain thread (Drain::run() in daemon/drain.cc), until it has seen `goals[i]` bytes of ring i.
class Service {
 public:
  explicit Service(std::array<uint64_t, 2> goals) : goals_(goals) {}

  void run() {
    while (!is_done()) {
      turn();
      if (is_done()) return;
      for (size_t i = 0; i < 2; ++i) ask_for_wake(i, positions_[i]);
      announce_sleep(g->doorbell);
      turn();
      if (is_done()) {
        cancel_sleep(g->doorbell);
      } else {
        sleep_on_doorbell(g->doorbell, std::chrono::milliseconds(kServiceSleepMaxMs));
      }
    }
  }

 private:
  bool is_done() const { return positions_ == goals_; }
  void turn() {
    for (size_t i = 0; i < 2; ++i) {
      if (goals_[i] == 0) continue;
      if (reader(i, positions_[i]).backlog() == 0) continue;
      // poll()'s load of tail; its records are not looked at here.
      positions_[i] = g->rings[i].producer.tail.load(std::memory_order_acquire);
    }
  }

  const std::array<uint64_t, 2> goals_;
  std::array<uint64_t, 2> positions_{};
};

model::Thread service(std::array<uint64_t, 2> goals) {
  return {"service", [=] { Service(goals).run(); }};
}

constexpr size_t kService = 0;

Program one_producer(int count, uint32_t bytes) {
  Program program;
  program.set_up = set_up;
  program.threads = {service({static_cast<uint64_t>(count) * bytes, 0}), producer(0, count, bytes)};
  return program;
}

Program two_producers() {
  Program program;
  program.set_up = set_up;
  program.threads = {service({kLarge, kLarge}), producer(0, 1, kLarge), producer(1, 1, kLarge)};
  return program;
}

void expect_never_slept_through(const Program& program) {
  const Report report = explore(program);
  EXPECT_EQ(report.violation, "") << report.trace;
  EXPECT_GT(report.ends, 1u);
}

TEST(DoorbellModel, MarksWakeTheService) {
  expect_never_slept_through(one_producer(1, kLarge));
  expect_never_slept_through(one_producer(2, kLarge));
}
TEST(DoorbellModel, RingWakesTheServiceWhateverTheMarksSay) {
  expect_never_slept_through(one_producer(1, kSmall));
  expect_never_slept_through(one_producer(2, kSmall));
}
TEST(DoorbellModel, TwoProducersShareOneDoorbell) { expect_never_slept_through(two_producers()); }

template <typename Change>
std::string violation_with(Change change) {
  for (Program program : {one_producer(1, kLarge), two_producers()}) {
    program.mutate = change;
    const Report report = explore(program);
    if (!report.violation.empty()) return report.violation;
  }
  return "";
}

TEST(DoorbellMutant, NoFenceOnTheProducersSide) {
  EXPECT_EQ(violation_with([](size_t thread, Operation& operation) {
              return thread != kService && operation.kind == Kind::kFence ? Fate::kDrop
                                                                          : Fate::kKeep;
            }),
            "waits for ever: service");
}

TEST(DoorbellMutant, NoFenceOnTheServicesSide) {
  EXPECT_EQ(violation_with([](size_t thread, Operation& operation) {
              return thread == kService && operation.kind == Kind::kFence ? Fate::kDrop
                                                                          : Fate::kKeep;
            }),
            "waits for ever: service");
}

TEST(DoorbellMutant, WakeWithoutChangingTheWord) {
  EXPECT_EQ(violation_with([](size_t thread, Operation& operation) {
              return thread != kService && operation.kind == Kind::kStore &&
                             operation.address == &g->doorbell.asleep
                         ? Fate::kDrop
                         : Fate::kKeep;
            }),
            "waits for ever: service");
}

TEST(DoorbellMutant, WordChangedButNobodyWoken) {
  EXPECT_EQ(violation_with([](size_t, Operation& operation) {
              return operation.kind == Kind::kFutexWake ? Fate::kDrop : Fate::kKeep;
            }),
            "waits for ever: service");
}

TEST(DoorbellMutant, ServiceSleepsWithoutALastLook) {
  Program program = one_producer(1, kLarge);
  program.threads[kService].body = [] {
    while (g->rings[0].producer.tail.load(std::memory_order_acquire) == 0) {
      ask_for_wake(0, 0);
      announce_sleep(g->doorbell);
      sleep_on_doorbell(g->doorbell, std::chrono::milliseconds(kServiceSleepMaxMs));
    }
  };
  EXPECT_EQ(explore(program).violation, "waits for ever: service");
}

TEST(DoorbellMutant, ServiceLooksBeforeItAnnounces) {
  Program program = one_producer(1, kLarge);
  program.threads[kService].body = [] {
    while (g->rings[0].producer.tail.load(std::memory_order_acquire) == 0) {
      if (reader(0, 0).backlog() != 0) continue;
      ask_for_wake(0, 0);
      announce_sleep(g->doorbell);
      sleep_on_doorbell(g->doorbell, std::chrono::milliseconds(kServiceSleepMaxMs));
    }
  };
  EXPECT_EQ(explore(program).violation, "waits for ever: service");
}

TEST(DoorbellMutant, ServiceSaysAfterItsLastLookFromWhereOnItIsToBeWoken) {
  Program program = one_producer(1, kLarge);
  program.threads[kService].body = [] {
    while (reader(0, 0).backlog() == 0) {
      announce_sleep(g->doorbell);
      if (reader(0, 0).backlog() != 0) continue;
      ask_for_wake(0, 0);
      sleep_on_doorbell(g->doorbell, std::chrono::milliseconds(kServiceSleepMaxMs));
    }
  };
  EXPECT_EQ(explore(program).violation, "waits for ever: service");
}

TEST(DoorbellMutant, ServiceAsksForAMarkThatDoesNotCome) {
  Program program = one_producer(1, kLarge);
  program.mutate = [](size_t thread, Operation& operation) {
    return thread == kService && operation.kind == Kind::kStore &&
                   operation.address == &g->rings[0].consumer.wake_at
               ? Fate::kDrop
               : Fate::kKeep;
  };
  EXPECT_EQ(explore(program).violation, "waits for ever: service");
}

// A producer killed between its store to the word and its wake: the others find the service awake
// and do not ring.  That is what the 50 ms are for, and this is why they must stay.
TEST(DoorbellMutant, ProducerKilledBeforeItsWakeIsMadeGoodByTheTimeoutOnly) {
  Program program = two_producers();
  program.threads[kService] = service({kSmall, kLarge});
  program.threads[1].body = [] {
    RingWriter out = writer(0);
    out.commit(kSmall);  // no mark, no ring: the next lines are ring_doorbell()'s, cut short
    std::ringlog_model_atomic_thread_fence(std::memory_order_seq_cst);
    if (g->doorbell.asleep.load(std::memory_order_relaxed) == 0) return;
    g->doorbell.asleep.store(0, std::memory_order_relaxed);
  };
  EXPECT_EQ(explore(program).violation, "waits for ever: service");
  program.threads[kService].times_out_at_last = true;
  EXPECT_EQ(explore(program).violation, "");
}

}  // namespace
}  // namespace ringlog::shm
