#include "store/bit_planes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace ringlog::store {

namespace {

// Entropy of a bit that is set in `count` of 64 cells.
std::array<double, kPlaneCells + 1> make_entropies() {
  std::array<double, kPlaneCells + 1> bits{};
  for (size_t count = 1; count < kPlaneCells; ++count) {
    const double p = static_cast<double>(count) / kPlaneCells;
    bits[count] = -p * std::log2(p) - (1 - p) * std::log2(1 - p);
  }
  return bits;
}

// Cells become planes: bit i of plane k is bit k of cell i, or both from the other end.
void transpose(std::array<uint64_t, kPlaneCells>& cells) {
  uint64_t mask = 0x00000000FFFFFFFF;
  for (size_t width = 32; width != 0; width /= 2, mask ^= mask << width) {
    for (size_t i = 0; i < kPlaneCells; i = (i + width + 1) & ~width) {
      const uint64_t swapped = (cells[i] ^ cells[i + width] >> width) & mask;
      cells[i] ^= swapped;
      cells[i + width] ^= swapped << width;
    }
  }
}

}  // namespace

double plane_bits(std::array<uint64_t, kPlaneCells> cells) {
  static const std::array<double, kPlaneCells + 1> kEntropies = make_entropies();
  transpose(cells);
  double sum = 0;
  uint64_t neighbour = 0;
  for (const uint64_t plane : cells) {
    // The same bits again are a match for the compressor: those of a sign, or of an exponent that
    // changes all its bits at a power of two.
    if (plane == std::exchange(neighbour, plane)) continue;
    const auto ones = static_cast<size_t>(std::popcount(plane));
    const auto changes = static_cast<size_t>(std::popcount((plane ^ plane << 1) & ~uint64_t{1}));
    sum += std::min(kEntropies[ones], kEntropies[changes]);
  }
  return sum;
}

}  // namespace ringlog::store
