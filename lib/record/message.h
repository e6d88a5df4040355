#pragma once
// Messages in one segment without framing: how records lie in rings, slots and store values.
//
// Reading is for foreign bytes: the constructor copies them into aligned memory (Cap'n Proto checks
// lazily and re-reads pointers, so a reader must never look at memory another process can write)
// and limits what a hostile message can cost.  Accessors of Cap'n Proto throw kj::Exception on
// malformed pointers; the caller's seam catches it (see try_read()).
//
// Objects belong to one thread at a time.

#include "record/limits.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>
#include <ringlog/result.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace ringlog::record {

// A finished message: whole words, so that it is aligned and a multiple of 8 bytes.
using Words = std::vector<uint64_t>;

inline std::span<const std::byte> as_bytes(const Words& words) {
  return std::as_bytes(std::span(words));
}

// The message in `builder` as one segment.
inline Words to_words(capnp::MessageBuilder& builder) {
  auto segments = builder.getSegmentsForOutput();
  if (segments.size() != 1) {
    // A builder that grew holds several segments; a copy into one that is large enough holds one.
    auto root = builder.getRoot<capnp::AnyPointer>().asReader();
    const auto size = static_cast<capnp::uint>(root.targetSize().wordCount + 1);
    capnp::MallocMessageBuilder single(size, capnp::AllocationStrategy::FIXED_SIZE);
    single.setRoot(root);
    auto copy = single.getSegmentsForOutput();
    Words words(copy[0].size());
    std::memcpy(words.data(), copy[0].begin(), words.size() * 8);
    return words;
  }
  Words words(segments[0].size());
  std::memcpy(words.data(), segments[0].begin(), words.size() * 8);
  return words;
}

// Reads foreign bytes as one message.
class MessageView {
 public:
  explicit MessageView(std::span<const std::byte> bytes_untrusted)
      : words_(bytes_untrusted.size() / 8),
        segment_(copy(bytes_untrusted)),
        reader_(segments(), options()) {}
  MessageView(const MessageView&) = delete;
  MessageView& operator=(const MessageView&) = delete;

  template <typename T>
  typename T::Reader root() {
    return reader_.getRoot<T>();
  }

 private:
  kj::ArrayPtr<const capnp::word> copy(std::span<const std::byte> bytes) {
    // An empty message has no memory at all, and memcpy wants some even for nothing.
    if (!words_.empty()) std::memcpy(words_.data(), bytes.data(), words_.size() * 8);
    return {reinterpret_cast<const capnp::word*>(words_.data()), words_.size()};
  }
  kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments() const { return {&segment_, 1}; }
  capnp::ReaderOptions options() const {
    capnp::ReaderOptions options;
    // Each word may be visited a few times (size questions, two passes), never without bound.
    options.traversalLimitInWords = words_.size() * 8 + 64;
    options.nestingLimit = kReaderNesting;
    return options;
  }

  Words words_;
  kj::ArrayPtr<const capnp::word> segment_;
  capnp::SegmentArrayMessageReader reader_;
};

// Runs `body` and turns what Cap'n Proto throws into kCorrupt with its first line.
template <typename Body>
Status try_read(Body body) {
  try {
    body();
    return Done{};
  } catch (const kj::Exception& e) {
    return Error{Code::kCorrupt, e.getDescription().cStr()};
  }
}

}  // namespace ringlog::record
