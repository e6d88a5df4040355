// The explorer itself: it must show every behaviour that the memory model allows and none that it
// forbids.  The litmus tests of the literature, by their usual names.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "atomic.h"

namespace ringlog::model {
namespace {

using ::testing::HasSubstr;

template <typename T>
using Atomic = std::ringlog_model_atomic<T>;
constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;
constexpr auto kRelease = std::memory_order_release;
constexpr auto kBoth = std::memory_order_acq_rel;

void fence() { std::ringlog_model_atomic_thread_fence(std::memory_order_seq_cst); }

// Two atomics, and where threads leave what they read.
struct Litmus {
  Atomic<uint64_t> x{0};
  Atomic<uint64_t> y{0};
  uint64_t data = 0;
  uint64_t seen[4] = {};
};
Litmus* g = nullptr;

// All results "seen[0] seen[1] …" of the threads, one body each.
std::set<std::string> results(std::vector<std::function<void()>> bodies, size_t count = 2) {
  std::set<std::string> all;
  Program program;
  program.set_up = [] { g = &make<Litmus>(); };
  for (size_t i = 0; i < bodies.size(); ++i) {
    program.threads.push_back({"T" + std::to_string(i), bodies[i]});
  }
  program.at_end = [&] {
    std::string text;
    for (size_t i = 0; i < count; ++i) text += std::to_string(g->seen[i]);
    all.insert(text);
  };
  const Report report = explore(program);
  EXPECT_EQ(report.violation, "") << report.trace;
  return all;
}
bool can(const std::set<std::string>& all, const std::string& result) {
  return all.contains(result);
}

TEST(Litmus, StoreBuffering_BothMayMissTheOther) {
  const auto all = results({[] {
                              g->x.store(1, kRelease);
                              g->seen[0] = g->y.load(kAcquire);
                            },
                            [] {
                              g->y.store(1, kRelease);
                              g->seen[1] = g->x.load(kAcquire);
                            }});
  EXPECT_EQ(all, (std::set<std::string>{"00", "01", "10", "11"}));
}

TEST(Litmus, StoreBuffering_FencesOnBothSidesForbidIt) {
  const auto all = results({[] {
                              g->x.store(1, kRelaxed);
                              fence();
                              g->seen[0] = g->y.load(kRelaxed);
                            },
                            [] {
                              g->y.store(1, kRelaxed);
                              fence();
                              g->seen[1] = g->x.load(kRelaxed);
                            }});
  EXPECT_EQ(all, (std::set<std::string>{"01", "10", "11"}));
}

TEST(Litmus, StoreBuffering_AFenceOnOneSideDoesNot) {
  const auto all = results({[] {
                              g->x.store(1, kRelaxed);
                              fence();
                              g->seen[0] = g->y.load(kRelaxed);
                            },
                            [] {
                              g->y.store(1, kRelaxed);
                              g->seen[1] = g->x.load(kRelaxed);
                            }});
  EXPECT_TRUE(can(all, "00"));
}

TEST(Litmus, MessagePassing_NeedsReleaseAndAcquire) {
  for (const auto& [write, read] : {std::pair{kRelease, kAcquire},
                                    {kRelaxed, kAcquire},
                                    {kRelease, kRelaxed},
                                    {kRelaxed, kRelaxed}}) {
    const auto all = results({[write = write] {
                                g->x.store(1, kRelaxed);
                                g->y.store(1, write);
                              },
                              [read = read] {
                                g->seen[0] = g->y.load(read);
                                g->seen[1] = g->x.load(kRelaxed);
                              }});
    EXPECT_EQ(can(all, "10"), write != kRelease || read != kAcquire);
  }
}

TEST(Litmus, MessagePassing_FencesMakeRelaxedAccessesCarry) {
  const auto all = results({[] {
                              g->x.store(1, kRelaxed);
                              fence();
                              g->y.store(1, kRelaxed);
                            },
                            [] {
                              g->seen[0] = g->y.load(kRelaxed);
                              fence();
                              g->seen[1] = g->x.load(kRelaxed);
                            }});
  EXPECT_FALSE(can(all, "10"));
}

TEST(Litmus, MessagePassing_AnExchangeContinuesARelease) {
  const auto all = results({[] {
                              g->x.store(1, kRelaxed);
                              g->y.store(1, kRelease);
                            },
                            [] { g->y.fetch_add(1, kRelaxed); },
                            [] {
                              g->seen[0] = g->y.load(kAcquire);
                              g->seen[1] = g->x.load(kRelaxed);
                            }});
  EXPECT_FALSE(can(all, "20"));
  EXPECT_TRUE(can(all, "21"));
}

TEST(Litmus, LoadBuffering_IsOutOfReach) {
  const auto all = results({[] {
                              g->seen[0] = g->x.load(kRelaxed);
                              g->y.store(1, kRelaxed);
                            },
                            [] {
                              g->seen[1] = g->y.load(kRelaxed);
                              g->x.store(1, kRelaxed);
                            }});
  EXPECT_FALSE(can(all, "11"));
}

TEST(Litmus, Coherence_AThreadNeverGoesBackInOneLocation) {
  const auto all = results({[] {
                              g->x.store(1, kRelaxed);
                              g->x.store(2, kRelaxed);
                            },
                            [] {
                              g->seen[0] = g->x.load(kRelaxed);
                              g->seen[1] = g->x.load(kRelaxed);
                            }});
  EXPECT_EQ(all, (std::set<std::string>{"00", "01", "02", "11", "12", "22"}));
}

TEST(Litmus, TwoPlusTwoWrites_MayBothLose) {
  std::set<std::string> last;
  Program program;
  program.set_up = [] { g = &make<Litmus>(); };
  program.threads = {{"a",
                      [] {
                        g->x.store(1, kRelease);
                        g->y.store(2, kRelease);
                      }},
                     {"b", [] {
                        g->y.store(1, kRelease);
                        g->x.store(2, kRelease);
                      }}};
  program.at_end = [&] {
    last.insert(std::to_string(g->x.load(kRelaxed)) + std::to_string(g->y.load(kRelaxed)));
  };
  EXPECT_EQ(explore(program).violation, "");
  EXPECT_EQ(last, (std::set<std::string>{"11", "12", "21", "22"}));
}

TEST(Litmus, IndependentReads_MayDisagreeUnlessFenced) {
  const auto writes_x = [] { g->x.store(1, kRelease); };
  const auto writes_y = [] { g->y.store(1, kRelease); };
  const auto read = [](bool is_fenced, size_t at, bool is_x_first) {
    return [=] {
      Atomic<uint64_t>& first = is_x_first ? g->x : g->y;
      Atomic<uint64_t>& second = is_x_first ? g->y : g->x;
      g->seen[at] = first.load(kAcquire);
      if (is_fenced) fence();
      g->seen[at + 1] = second.load(kAcquire);
    };
  };
  for (const bool is_fenced : {false, true}) {
    const auto all =
        results({writes_x, writes_y, read(is_fenced, 0, true), read(is_fenced, 2, false)}, 4);
    EXPECT_EQ(can(all, "1010"), !is_fenced);
  }
}

TEST(Litmus, ExchangesNeverShareAMessage) {
  const auto all = results({[] { g->seen[0] = g->x.fetch_add(1, kRelaxed); },
                            [] { g->seen[1] = g->x.fetch_add(1, kRelaxed); }});
  EXPECT_EQ(all, (std::set<std::string>{"01", "10"}));
}

TEST(Litmus, CompareExchangeHasOneWinner) {
  const auto take = [](size_t at) {
    return [=] {
      uint64_t expected = 0;
      g->seen[at] = g->x.compare_exchange_strong(expected, 1, kBoth, kRelaxed) ? 1 : 0;
    };
  };
  EXPECT_EQ(results({take(0), take(1)}), (std::set<std::string>{"01", "10"}));
}

std::string violation(std::vector<std::function<void()>> bodies) {
  Program program;
  program.set_up = [] { g = &make<Litmus>(); };
  for (auto& body : bodies) {
    program.threads.push_back({"T" + std::to_string(program.threads.size()), body});
  }
  return explore(program).violation;
}

TEST(Races, PlainMemoryPassedByReleaseAndAcquireHasNone) {
  const auto reads = [](std::memory_order order) {
    return [=] {
      if (g->x.load(order) == 0) return;
      read_plain(&g->data, sizeof g->data);
      check(g->data == 7, "data");
    };
  };
  const auto writes = [](std::memory_order order) {
    return [=] {
      g->data = 7;
      g->x.store(1, order);
    };
  };
  EXPECT_EQ(violation({writes(kRelease), reads(kAcquire)}), "");
  EXPECT_THAT(violation({writes(kRelaxed), reads(kAcquire)}), HasSubstr("race"));
  EXPECT_THAT(violation({writes(kRelease), reads(kRelaxed)}), HasSubstr("race"));
}

TEST(Races, WritingWhatAnotherMayStillReadIsOne) {
  const auto reads = [](std::memory_order order) {
    return [=] {
      read_plain(&g->data, sizeof g->data);
      g->x.store(1, order);
    };
  };
  const auto writes = [] {
    await_at_least(g->x, 1);
    g->data = 7;
  };
  EXPECT_EQ(violation({reads(kRelease), writes}), "");
  EXPECT_THAT(violation({reads(kRelaxed), writes}), HasSubstr("race"));
}

Outcome futex(Kind kind, const Atomic<uint64_t>& word, uint64_t expected = 0) {
  Operation operation;
  operation.kind = kind;
  operation.address = &word;
  operation.size = sizeof word;
  operation.expected = expected;
  return perform(operation);
}

TEST(Futex, WakeAfterAChangeIsNeverLost) {
  const auto waits = [] {
    while (g->x.load(kAcquire) == 0) futex(Kind::kFutexWait, g->x, 0);
  };
  EXPECT_EQ(violation({waits,
                       [] {
                         g->x.store(1, kRelease);
                         futex(Kind::kFutexWake, g->x);
                       }}),
            "");
  EXPECT_EQ(violation({waits, waits,
                       [] {
                         g->x.store(1, kRelease);
                         futex(Kind::kFutexWake, g->x);
                       }}),
            "");
}

TEST(Futex, WakeWithoutAChangeOrBeforeItIsLost) {
  const auto waits = [] { futex(Kind::kFutexWait, g->x, 0); };
  EXPECT_EQ(violation({waits, [] { futex(Kind::kFutexWake, g->x); }}), "waits for ever: T0");
  EXPECT_EQ(violation({[] {
                         while (g->x.load(kAcquire) == 0) futex(Kind::kFutexWait, g->x, 0);
                       },
                       [] {
                         futex(Kind::kFutexWake, g->x);
                         g->x.store(1, kRelease);
                       }}),
            "waits for ever: T0");
}

}  // namespace
}  // namespace ringlog::model
