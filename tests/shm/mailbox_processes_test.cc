// Requests between two processes, the whole way: claim, ring, doorbell, answer, wake.

#include "shm/futex.h"
#include "shm/mailbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <new>
#include <string>

#include "result_matchers.h"
#include "test_ring.h"
#include "watchdog.h"

namespace ringlog::shm {
namespace {

using test::IsOk;

constexpr uint16_t kKindStop = 65000;

struct Shared {
  TestRing ring;
  std::array<Slot, 8> slots{};
};

struct Request {
  uint32_t slot;
  uint32_t word;
  uint64_t number;
};

std::string reply_to(uint64_t number) {
  return "reply " + std::to_string(number) + std::string(number % 150, '.');
}

// The service: answers what stands in the ring until it is told to stop.  Its exit code.
int serve(Shared& shared) {
  RingReader reader = shared.ring.reader();
  for (;;) {
    const Polled polled = poll(reader);
    if (!polled.status) return 1;
    for (const TestRecord& record : polled.records) {
      if (record.kind == kKindStop) return 0;
      Request request;
      if (record.payload.size() != sizeof request) return 2;
      std::memcpy(&request, record.payload.data(), sizeof request);
      const std::string reply = reply_to(request.number);
      answer_slot(shared.slots[request.slot], request.word, std::as_bytes(std::span(reply)), false);
    }
    reader.give_back(reader.position());
    announce_sleep(shared.ring.doorbell);
    if (reader.backlog() != 0) {
      cancel_sleep(shared.ring.doorbell);
    } else {
      sleep_on_doorbell(shared.ring.doorbell, std::chrono::seconds(10));
    }
  }
}

Mailbox::Claim ask(Mailbox& mailbox, RingWriter& writer, uint64_t number) {
  auto claim = mailbox.claim();
  // The service may be slow to free what was cancelled.
  while (!claim) claim = mailbox.claim();
  const Request request{claim->slot, claim->word, number};
  const std::string_view payload(reinterpret_cast<const char*>(&request), sizeof request);
  const uint32_t bytes = record_bytes(payload.size());
  writer.wait_reserve(bytes, std::chrono::hours(1));
  mailbox.announce(*claim, 0, writer.position() + bytes);
  put(writer, number, payload, kKindRecord, kFlagRequest);
  writer.ring();
  return *claim;
}

TEST(MailboxBetweenProcesses, EveryRequestGetsItsOwnAnswerThoughSomeAreAbandoned) {
  const test::Watchdog watchdog;
  void* const memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  Shared& shared = *new (memory) Shared{};
  const pid_t service = ::fork();
  if (service == 0) ::_exit(serve(shared));
  ASSERT_GT(service, 0);

  Mailbox mailbox(shared.slots);
  RingWriter writer = shared.ring.writer();
  constexpr uint64_t kRequests = 10'000;
  for (uint64_t number = 0; number < kRequests; ++number) {
    const auto claim = ask(mailbox, writer, number);
    if (number % 97 != 96) {
      auto reply = mailbox.wait(claim, std::chrono::hours(1), [] { return true; });
      ASSERT_THAT(reply, IsOk());
      ASSERT_EQ(reply->bytes, reply_to(number));
    }
    mailbox.cancel(claim);
  }
  ASSERT_TRUE(put(writer, kRequests, "stop now", kKindStop, 0));
  writer.ring();
  int status = -1;
  ASSERT_EQ(::waitpid(service, &status, 0), service);
  EXPECT_EQ(status, 0);

  uint64_t generations = 0;
  for (const Slot& slot : shared.slots) {
    EXPECT_EQ(slot_state(slot.word.load()), SlotState::kFree);
    generations += slot_generation(slot.word.load());
  }
  EXPECT_EQ(generations, kRequests);
  shared.~Shared();
  ::munmap(memory, sizeof(Shared));
}

}  // namespace
}  // namespace ringlog::shm
