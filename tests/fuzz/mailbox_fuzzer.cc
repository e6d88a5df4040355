// The mailbox from both sides, with slots that the other side writes over.
//
// Operations, until the end:  op:u8 · slot:u8 …
//     0  claim                          1  announce position:u16
//     2  answer word:u32 size:u8 large:u8, word 0: that of the claim
//     3  fail   word:u32                4  wait, without sleeping
//     5  cancel                         6  offset:u8 · size:u8 · bytes written over the slot
//
// Nothing is written beside the slots, no reply is larger than a slot holds, and whatever its bytes
// are it parses or is refused.  While nobody wrote over slots, an answer reaches the claim that it
// was made for.

#include <ringlog/handle.h>

#include <array>
#include <map>
#include <memory>

#include "shm/mailbox.h"
#include "tests/fuzz/input.h"

namespace ringlog::fuzz {
namespace {

using namespace shm;  // NOLINT

constexpr size_t kSlots = 4;

// Slots as they lie in a page, with something on both sides that must stay as it is.
struct Page {
  std::array<uint64_t, 64> before;
  std::array<Slot, kSlots> slots;
  std::array<uint64_t, 64> behind;
};

template <typename T>
void check_parse(const std::string& bytes) {
  const Result<T> parsed = detail::parse_reply<T>(bytes);
  if (!parsed) {
    require(parsed.error().code == Code::kCorrupt || parsed.error().code == Code::kIo,
            "a reply that is none is corrupt, or says what went wrong");
  }
}

void check_reply(const std::string& bytes) {
  require(bytes.size() <= kInlineReplySizeMax, "no more than a slot holds");
  check_parse<Positions>(bytes);
  check_parse<FinishReport>(bytes);
  check_parse<RunInfo>(bytes);
  check_parse<std::string>(bytes);
}

class Game {
 public:
  Game() {
    page_->before.fill(kCanary);
    page_->behind.fill(kCanary);
  }

  void play(Input& input) {
    const uint8_t op = input.take<uint8_t>() % 7;
    const uint32_t index = input.take<uint8_t>() % kSlots;
    switch (op) {
      case 0:
        if (auto claim = mailbox_.claim()) claims_[claim->slot] = *claim;
        return;
      case 2:
        return answer(index, input);
      case 3:
        return fail_slot(page_->slots[index], input.take<uint32_t>());
      case 6:
        return scribble(index, input);
      default:
        return with_claim(op, index, input);
    }
  }
  void check_canaries() const {
    for (const uint64_t word : page_->before) require(word == kCanary, "nothing before the slots");
    for (const uint64_t word : page_->behind) require(word == kCanary, "nothing behind the slots");
  }

 private:
  static constexpr uint64_t kCanary = 0x5afe5afe5afe5afe;

  void with_claim(uint8_t op, uint32_t index, Input& input) {
    const auto claim = claims_.find(index);
    if (claim == claims_.end()) return;
    if (op == 1) mailbox_.announce(claim->second, 0, input.take<uint16_t>());
    if (op == 4) wait(claim->second);
    if (op != 5) return;
    mailbox_.cancel(claim->second);
    claims_.erase(claim);
  }
  void answer(uint32_t index, Input& input) {
    uint32_t word = input.take<uint32_t>();
    if (word == 0 && claims_.contains(index)) word = claims_[index].word;
    // Begins with the word it answers, so that the waiter can tell.
    std::string reply(reinterpret_cast<const char*>(&word), sizeof word);
    reply += input.take_text(input.take<uint8_t>());
    answer_slot(page_->slots[index], word, std::as_bytes(std::span(reply)),
                input.take<uint8_t>() % 2 == 1);
  }
  void wait(const Mailbox::Claim& claim) {
    const auto reply = mailbox_.wait(claim, std::chrono::nanoseconds(-1), [] { return true; });
    if (!reply) return;
    check_reply(reply->bytes);
    if (is_scribbled_) return;
    uint32_t word = 0;
    require(reply->bytes.size() >= sizeof word, "the reply is there");
    std::memcpy(&word, reply->bytes.data(), sizeof word);
    require(slot_generation(word) == slot_generation(claim.word), "the reply to this request");
  }
  void scribble(uint32_t index, Input& input) {
    is_scribbled_ = true;
    const size_t offset = input.take<uint8_t>();
    const auto bytes = input.take_bytes(input.take<uint8_t>());
    const size_t size = std::min(bytes.size(), sizeof(Slot) - offset);
    auto* const slot = reinterpret_cast<std::byte*>(&page_->slots[index]);
    if (size > 0) std::memcpy(slot + offset, bytes.data(), size);
  }

  const std::unique_ptr<Page> page_ = std::make_unique<Page>();
  Mailbox mailbox_{page_->slots};
  std::map<uint32_t, Mailbox::Claim> claims_;
  bool is_scribbled_ = false;
};

}  // namespace
}  // namespace ringlog::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ringlog::fuzz::Input input(data, size);
  // A reply of any bytes, whatever the slots do.
  ringlog::fuzz::Input whole(data, size);
  ringlog::fuzz::check_reply(whole.take_text(ringlog::shm::kInlineReplySizeMax));
  ringlog::fuzz::Game game;
  while (!input.is_empty()) game.play(input);
  game.check_canaries();
  return 0;
}
