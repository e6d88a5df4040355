#pragma once
// The name that somebody may have meant who wrote another one.

#include <span>
#include <string>
#include <string_view>

namespace ringlog::client {

// "; did you mean NAME?", or nothing when none of `names` is near: more than a third of it would
// have to be added, left out or replaced.
std::string did_you_mean(std::string_view name, std::span<const std::string> names);

}  // namespace ringlog::client
