#pragma once
// Limits of what one record may hold, each with its unit and reason.

#include "shm/limits.h"

#include <cstddef>
#include <cstdint>

namespace ringlog::record {

// Objects and lists inside each other; deeper is a mistake, and readers recurse this far.
inline constexpr int kValueDepthMax = 16;
// Pointer nesting a reader follows: each level of a Value takes up to three pointers.
inline constexpr int kReaderNesting = 64;
// Bytes of one key; a path of nested keys may hold kValueDepthMax of them.
inline constexpr size_t kKeySizeMax = 4096;
// Keys in one row, nested ones included: bounds what one row can cost the service.
inline constexpr size_t kRowKeysMax = 65536;
// Keys of a row template: its row must fit a ring record.
inline constexpr size_t kTemplateKeysMax = 4096;
// Payload bytes of a Row before its values: root pointer, step, time, list pointer.
inline constexpr size_t kRowPrefixSize = 32;

static_assert(kRowPrefixSize + kTemplateKeysMax * 8 + 16 <= shm::kRecordSizeMax);

// Ranks and attempts of a run; higher ones are mistakes, and one has to be able to count on.
inline constexpr int32_t kRankMax = 1'000'000;
inline constexpr int32_t kAttemptMax = 1'000'000;

// The worker that stands for `ringlog exec` around a program, above every forked child.
inline constexpr uint32_t kExecWorker = 65535;

}  // namespace ringlog::record
