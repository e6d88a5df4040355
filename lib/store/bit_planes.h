#pragma once
// About how well cells compress once their bits are shuffled.  Internal to lib/store.
//
// Pure function.

#include <array>
#include <cstddef>
#include <cstdint>

namespace ringlog::store {

inline constexpr size_t kPlaneCells = 64;

// Bits that a cell of these, which follow each other, would need if each bit plane took no more
// than the entropy of its ones or of its changes: 0 to 64.
double plane_bits(std::array<uint64_t, kPlaneCells> cells);

}  // namespace ringlog::store
