#pragma once
// Bodies of requests, packed for the way.
//
// Plain functions; safe from any thread.

#include <string>
#include <string_view>

namespace ringlog::service {

// The content codings "gzip" and "zstd", at their fastest: what is sent is mostly repetition.
std::string gzip(std::string_view bytes);
std::string zstd(std::string_view bytes);

}  // namespace ringlog::service
