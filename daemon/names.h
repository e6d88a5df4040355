#pragma once
// What a run and its project may be called: their names are folders on disk.
//
// Plain functions; safe from any thread.

#include <ringlog/result.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace ringlog::service {

// kInvalidArgument: names the field, what was given and what is allowed.
Status check_run_id(std::string_view run_id);
Status check_project(std::string_view project);
Status check_root(std::string_view root);

// Eight characters of a-z and 0-9 from the kernel's random source.
std::string new_run_id();

// FNV-1a, 64 bits: the same on every machine and in every version.
uint64_t stable_hash(std::string_view text);

}  // namespace ringlog::service
