#pragma once
// Packed Cap'n Proto messages: how most values stand in the store.  Internal to lib/store.
//
// Plain functions; safe from any thread.

#include <capnp/message.h>
#include <capnp/serialize-packed.h>
#include <kj/exception.h>
#include <kj/io.h>
#include <ringlog/result.h>

#include <string>
#include <string_view>

#include "store/limits.h"

namespace ringlog::store {

inline std::string pack(capnp::MessageBuilder& message) {
  kj::VectorOutputStream out;
  capnp::writePackedMessage(out, message);
  const auto bytes = out.getArray();
  return {reinterpret_cast<const char*>(bytes.begin()), bytes.size()};
}

inline capnp::ReaderOptions read_options() {
  capnp::ReaderOptions options;
  // The largest value, and room for a second look at each of its words.
  options.traversalLimitInWords = 4 * kValueBytesMax / 8;
  options.nestingLimit = kNestingMax;
  return options;
}

// The list, if it is no longer than that; to be called inside unpack().
template <typename List>
List limited(List list, size_t size_max) {
  KJ_REQUIRE(list.size() <= size_max, "a list is too long");
  return list;
}

// Calls `body` with the message's root; kCorrupt when the bytes are no such message.
template <typename T, typename Body>
Status unpack(std::string_view bytes, Body body) {
  try {
    kj::ArrayInputStream in({reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()});
    capnp::PackedMessageReader message(in, read_options());
    return body(message.getRoot<T>());
  } catch (const kj::Exception& e) {
    return Error{Code::kCorrupt, e.getDescription().cStr()};
  }
}

}  // namespace ringlog::store
