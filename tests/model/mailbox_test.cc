// The mailbox under the memory model: every answer reaches its request and no other, nobody waits
// for ever, and no slot is lost, whatever times out, is cancelled, or restarts.
//
// Steps and lines: Mailbox::claim(), announce(), wait(), cancel(), answer_slot() and fail_slot()
// run as they stand in lib/shm/mailbox.cc (production.h); one step is one access to a slot's word
// or position or one futex call.  The way of a request through the ring is one release store of
// `sent` and one acquire load of it: the ring's tail, whose model is its own.  The restarted
// service's walk over the slots is that of fail_consumed_requests() in daemon/recovery.cc.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "production.h"

namespace ringlog::shm {
namespace {

using model::Fate;
using model::Kind;
using model::Operation;
using model::Program;
using model::Report;
using std::chrono::nanoseconds;
using ::testing::HasSubstr;

constexpr uint64_t kEnd = 24;  // of request i in its ring: kEnd * (i + 1)
constexpr size_t kRequests = 2;

// A request as its record in the ring carries it; requests are numbered, reply i is 100 + i.
struct Request {
  std::ringlog_model_atomic<uint64_t> sent;  // 1: sent, 2: never will be
  uint64_t word;
};

struct Shared {
  std::array<Slot, 1> slots{};
  Mailbox mailbox{slots};
  Request requests[kRequests]{};
  std::ringlog_model_atomic<uint64_t> died{0};    // 1: the first service is dead
  std::ringlog_model_atomic<uint32_t> waiter{0};  // of a mutant
  uint64_t claims[kRequests] = {};                // by client, for the end
};
Shared* g = nullptr;
Slot& slot() { return g->slots[0]; }

void set_up() {
  g = &model::make<Shared>();
  // Mailbox::next_, a hint, is behind the span.
  model::ignore(reinterpret_cast<std::byte*>(&g->mailbox) + sizeof(std::span<Slot>));
  model::name(&slot().word, "word");
  model::name(&slot().position, "position");
  model::name(&g->requests[0].sent, "sent 0");
  model::name(&g->requests[1].sent, "sent 1");
  model::name(&g->died, "died");
}

// --- the client's side

using Wait = Result<SlotReply> (*)(const Mailbox::Claim&, nanoseconds);
using Cancel = void (*)(const Mailbox::Claim&);

Result<SlotReply> wait(const Mailbox::Claim& claim, nanoseconds timeout) {
  return g->mailbox.wait(claim, timeout, [] { return true; });
}
void cancel(const Mailbox::Claim& claim) { g->mailbox.cancel(claim); }

// Sends request `number` through ring `number`; nothing when the slot is in use.
std::optional<Mailbox::Claim> send(size_t number) {
  auto claim = g->mailbox.claim();
  if (!claim) {
    g->requests[number].sent.store(2, std::memory_order_release);
    return std::nullopt;
  }
  g->mailbox.announce(*claim, static_cast<uint32_t>(number), kEnd * (number + 1));
  g->requests[number].word = claim->word;
  g->requests[number].sent.store(1, std::memory_order_release);
  return *claim;
}

void expect_own_reply(size_t number, const Result<SlotReply>& reply) {
  if (!reply) return;
  model::read_plain(&slot().reply_size, 16);
  uint64_t value = 0;
  model::check(reply->bytes.size() == sizeof value, "a torn reply");
  std::memcpy(&value, reply->bytes.data(), sizeof value);
  model::check(value == 100 + number, "the answer to another request");
}

enum class Patience { kEndless, kShort };
// One request from claim to cancel.  What wait() said; nothing when it was not sent.
struct Ways {
  Wait wait = shm::wait;
  Cancel cancel = shm::cancel;
};
std::optional<Code> ask(size_t number, Patience patience, const Ways& ways = {}) {
  const auto claim = send(number);
  if (!claim) return std::nullopt;
  auto reply =
      ways.wait(*claim, patience == Patience::kShort ? nanoseconds(1000) : nanoseconds::max());
  expect_own_reply(number, reply);
  ways.cancel(*claim);
  return reply ? Code::kOk : reply.error().code;
}

// --- the service's side

using Answer = bool (*)(Slot&, uint32_t, std::span<const std::byte>, bool);

// Answers request `number`, if it is ever sent.
void serve(size_t number, Answer answer = answer_slot) {
  Request& request = g->requests[number];
  model::await_at_least(request.sent, 1);
  if (request.sent.load(std::memory_order_relaxed) != 1) return;
  model::read_plain(&request.word, sizeof request.word);
  const uint64_t reply = 100 + number;
  answer(slot(), static_cast<uint32_t>(request.word), std::as_bytes(std::span(&reply, 1)), false);
}

// After a restart; `consumed[i]` is the position stored for ring i.
void fail_consumed(const std::array<uint64_t, kRequests>& consumed) {
  const uint32_t word = slot().word.load(std::memory_order_acquire);
  const SlotState state = slot_state(word);
  if (state != SlotState::kRequested && state != SlotState::kCancelled) return;
  const uint64_t position = slot().position.load(std::memory_order_acquire);
  if (position == kNotCommitted) return;
  model::read_plain(&slot().ring, sizeof slot().ring);
  if (position <= consumed[slot().ring]) fail_slot(slot(), word);
}

// What must be so when all is over.
void expect_slot_is_free() {
  const uint32_t word = slot().word.load(std::memory_order_relaxed);
  model::check(slot_state(word) == SlotState::kFree, "a slot is lost");
  model::check(slot().position.load(std::memory_order_relaxed) == kNotCommitted,
               "a free slot has a position");
}

// --- programs

// Two requests, one after the other; the first may be given up.  Each has its own thread of the
// service, as requests of two rings may.
Program two_requests(Patience first, const Ways& ways = {}, Answer answer = answer_slot) {
  Program program;
  program.set_up = set_up;
  program.threads = {{"client",
                      [=] {
                        ask(0, first, ways);
                        ask(1, Patience::kEndless, ways);
                      },
                      first == Patience::kShort ? 1 : 0},
                     {"service A", [=] { serve(0, answer); }},
                     {"service B", [=] { serve(1, answer); }}};
  program.at_end = expect_slot_is_free;
  return program;
}

// Two threads of the client meet at one slot.
Program two_clients(const Ways& ways = {}) {
  Program program;
  program.set_up = set_up;
  program.threads = {{"client A", [=] { ask(0, Patience::kEndless, ways); }},
                     {"client B", [=] { ask(1, Patience::kEndless, ways); }},
                     {"service", [] {
                        serve(0);
                        serve(1);
                      }}};
  program.at_end = expect_slot_is_free;
  return program;
}

// The first service drains and stores request 0, then dies without an answer.
Program restart(Patience first, const Ways& ways = {}) {
  Program program;
  program.set_up = set_up;
  program.threads = {{"client",
                      [=] {
                        const auto code = ask(0, first, ways);
                        model::check(code == Code::kServiceGone || code == Code::kTimeout,
                                     "an answer of a dead service");
                        const auto next = ask(1, Patience::kEndless, ways);
                        model::check(next == Code::kOk || (!next && code == Code::kTimeout),
                                     "a request that was never lost has failed");
                      },
                      first == Patience::kShort ? 1 : 0},
                     {"service", [] {
                        model::await_at_least(g->requests[0].sent, 1);
                        fail_consumed({kEnd, 0});
                        serve(1);
                      }}};
  program.at_end = expect_slot_is_free;
  return program;
}

// The first service answers request 0 and dies before it stores that it did; the next one reads and
// answers the same request again.
Program answer_twice() {
  Program program;
  program.set_up = set_up;
  program.threads = {{"client",
                      [] {
                        model::check(ask(0, Patience::kEndless) == Code::kOk, "no answer");
                        model::check(ask(1, Patience::kEndless) == Code::kOk, "no answer");
                      }},
                     {"service", [] {
                        serve(0);
                        fail_consumed({0, 0});
                        serve(0);
                        serve(1);
                      }}};
  program.at_end = expect_slot_is_free;
  return program;
}

// Two threads of the client meet while the service restarts: what A sent was read and never
// answered.
Program restart_with_two_clients(
    const std::function<std::optional<Mailbox::Claim>(size_t)>& sender) {
  Program program;
  program.set_up = set_up;
  const auto one = [=](size_t number) {
    const auto claim = sender(number);
    if (!claim) return;
    const auto reply = wait(*claim, nanoseconds::max());
    expect_own_reply(number, reply);
    cancel(*claim);
  };
  program.threads = {{"client A", [=] { one(0); }},
                     {"client B", [=] { one(1); }},
                     {"service", [] {
                        model::await_at_least(g->requests[0].sent, 1);
                        // Once B is over with claiming, so that nobody else can have lost the word.
                        model::await_at_least(g->requests[1].sent, 1);
                        fail_consumed({kEnd, 0});
                        serve(1);
                      }}};
  return program;
}

void expect_right(const Program& program) {
  const Report report = explore(program);
  EXPECT_EQ(report.violation, "") << report.trace;
  EXPECT_GT(report.ends, 1u);
}

TEST(MailboxModel, EveryRequestGetsItsAnswer) { expect_right(two_requests(Patience::kEndless)); }
TEST(MailboxModel, ARequestMayTimeOutAtAnyMoment) { expect_right(two_requests(Patience::kShort)); }
TEST(MailboxModel, ThreadsThatMeetAtASlotShareIt) { expect_right(two_clients()); }
TEST(MailboxModel, ARestartedServiceFailsWhatWasLost) { expect_right(restart(Patience::kEndless)); }
TEST(MailboxModel, ARestartMayMeetACancel) { expect_right(restart(Patience::kShort)); }
TEST(MailboxModel, ARequestMayBeReadTwiceByTwoServices) { expect_right(answer_twice()); }
TEST(MailboxModel, ARestartMayMeetAClaim) { expect_right(restart_with_two_clients(send)); }

// --- mutants

TEST(MailboxMutant, ReplyWrittenAfterTheStateChange) {
  const Answer answer = [](Slot& to, uint32_t word, std::span<const std::byte> reply, bool) {
    uint32_t now = word;
    if (!settle(to, now, slot_word(slot_generation(word), SlotState::kDone))) return false;
    to.reply_size = static_cast<uint32_t>(reply.size());
    std::copy_n(reply.begin(), reply.size(), to.reply.begin());
    return true;
  };
  EXPECT_THAT(explore(two_requests(Patience::kEndless, {}, answer)).violation,
              ::testing::AnyOf(HasSubstr("race"), HasSubstr("torn")));
}

TEST(MailboxMutant, ClientFreesItsOwnTimedOutSlot) {
  Ways ways;
  ways.cancel = [](const Mailbox::Claim& claim) {
    uint32_t word = claim.word;
    const uint32_t generation = slot_generation(word);
    if (settle(slot(), word, slot_word(generation, SlotState::kCancelled))) {
      free_slot(slot(), claim.word);
    } else if (is_answered(word) && slot_generation(word) == generation) {
      free_slot(slot(), word);
    }
  };
  EXPECT_THAT(explore(two_requests(Patience::kShort, ways)).violation,
              ::testing::AnyOf(HasSubstr("race"), HasSubstr("another request")));
}

TEST(MailboxMutant, WaiterFlagInASecondWord) {
  Ways ways;
  ways.wait = [](const Mailbox::Claim&, nanoseconds) -> Result<SlotReply> {
    uint32_t word = slot().word.load(std::memory_order_acquire);
    while (!is_answered(word)) {
      g->waiter.store(1, std::memory_order_release);
      futex_wait(slot().word, word, nanoseconds::max());
      word = slot().word.load(std::memory_order_acquire);
    }
    return SlotReply{std::string(reinterpret_cast<const char*>(slot().reply.data()), 8), false};
  };
  const Answer answer = [](Slot& to, uint32_t word, std::span<const std::byte> reply, bool) {
    to.reply_size = static_cast<uint32_t>(reply.size());
    std::copy_n(reply.begin(), reply.size(), to.reply.begin());
    uint32_t now = word;
    if (!settle(to, now, slot_word(slot_generation(word), SlotState::kDone))) return false;
    if (g->waiter.load(std::memory_order_acquire) != 0) futex_wake_all(to.word);
    return true;
  };
  EXPECT_THAT(explore(two_requests(Patience::kEndless, ways, answer)).violation,
              HasSubstr("waits for ever: client"));
}

TEST(MailboxMutant, WaiterIsNotWoken) {
  Program program = two_requests(Patience::kEndless);
  program.mutate = [](size_t, Operation& operation) {
    return operation.kind == Kind::kFutexWake ? Fate::kDrop : Fate::kKeep;
  };
  EXPECT_THAT(explore(program).violation, HasSubstr("waits for ever: client"));
}

// Makes the accesses of one kind to the slot's word relaxed.
std::string violation_if_relaxed(Program program, Kind kind, bool in_client) {
  program.mutate = [=](size_t thread, Operation& operation) {
    const bool is_client = thread == 0;
    if (operation.address == &slot().word && operation.kind == kind && is_client == in_client) {
      operation.order = std::memory_order_relaxed;
      operation.failure = std::memory_order_relaxed;
    }
    return Fate::kKeep;
  };
  return explore(program).violation;
}

TEST(MailboxMutant, SettledRelaxed) {
  EXPECT_THAT(violation_if_relaxed(two_requests(Patience::kEndless), Kind::kCompareExchange, false),
              HasSubstr("race: client reads"));
}

TEST(MailboxMutant, DoneLoadedRelaxed) {
  EXPECT_THAT(violation_if_relaxed(two_requests(Patience::kEndless), Kind::kLoad, true),
              HasSubstr("race: client reads"));
}

TEST(MailboxMutant, FreedRelaxed) {
  EXPECT_THAT(violation_if_relaxed(two_clients(), Kind::kStore, true), HasSubstr("race"));
}

TEST(MailboxMutant, ServiceDoesNotFreeWhatWasCancelled) {
  const Answer answer = [](Slot& to, uint32_t word, std::span<const std::byte> reply, bool) {
    uint32_t now = to.word.load(std::memory_order_acquire);
    if (slot_state(now) != SlotState::kRequested) return false;
    to.reply_size = static_cast<uint32_t>(reply.size());
    std::copy_n(reply.begin(), reply.size(), to.reply.begin());
    return settle(to, now, slot_word(slot_generation(word), SlotState::kDone));
  };
  EXPECT_EQ(explore(two_requests(Patience::kShort, {}, answer)).violation, "a slot is lost");
}

TEST(MailboxMutant, AnswerDoesNotLookAtTheGeneration) {
  const Answer answer = [](Slot& to, uint32_t, std::span<const std::byte> reply, bool) {
    return answer_slot(to, to.word.load(std::memory_order_acquire), reply, false);
  };
  Program program = answer_twice();
  program.threads[1].body = [=] {
    serve(0);
    serve(0, answer);
    serve(1);
  };
  EXPECT_EQ(explore(program).violation, "the answer to another request");
}

TEST(MailboxMutant, RestartedServiceFailsNothing) {
  Program program = restart(Patience::kEndless);
  program.threads[1].body = [] { serve(1); };
  EXPECT_EQ(explore(program).violation, "waits for ever: client service");
}

TEST(MailboxMutant, RestartedServiceFailsWhatIsStillInTheRing) {
  Program program = answer_twice();
  program.threads[1].body = [] {
    model::await_at_least(g->requests[0].sent, 1);
    fail_consumed({kEnd, 0});
    serve(0);
    serve(1);
  };
  EXPECT_EQ(explore(program).violation, "no answer");
}

// As fail_slot() was: a request cancelled between its look and its change was lost.
TEST(MailboxMutant, FailGivesUpWhenTheRequestWasJustCancelled) {
  Program program = restart(Patience::kShort);
  program.threads[1].body = [] {
    model::await_at_least(g->requests[0].sent, 1);
    uint32_t word = slot().word.load(std::memory_order_acquire);
    if (slot_state(word) == SlotState::kCancelled) {
      free_slot(slot(), word);
    } else {
      settle(slot(), word, slot_word(slot_generation(word), SlotState::kFailed));
    }
    serve(1);
  };
  EXPECT_EQ(explore(program).violation, "a slot is lost");
}

// As claim() was: it stored "not committed" into a slot that was not yet its own.
TEST(MailboxMutant, ClaimTouchesThePositionBeforeItOwnsTheSlot) {
  const auto sender = [](size_t number) -> std::optional<Mailbox::Claim> {
    if (slot_state(slot().word.load(std::memory_order_relaxed)) == SlotState::kFree) {
      slot().position.store(kNotCommitted, std::memory_order_relaxed);
    }
    return send(number);
  };
  EXPECT_THAT(explore(restart_with_two_clients(sender)).violation, HasSubstr("waits for ever"));
}

}  // namespace
}  // namespace ringlog::shm
