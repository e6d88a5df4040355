#include "cli/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace ringlog::cli {

namespace {

// Beyond it sums of two values are no longer finite.
constexpr double kValueMax = 1e300;
// A range narrower than this, in relation to its values, is a constant and rounding noise.
constexpr double kRelativeSpanMin = 1e-12;
constexpr double kSpanMin = 1e-290;

// The smallest of 1, 2, 5 × 10^n that is not less than `step`.
double nice_step(double step) {
  const double power = std::pow(10.0, std::floor(std::log10(step)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= step * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

struct Scale {
  double unit;
  std::string_view suffix;
};

// What labels are counted in, by the largest of them.
Scale scale_of(double largest, double step) {
  constexpr std::array<Scale, 4> kScales = {{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}}};
  if (largest < 1e4) return {1, ""};
  for (const Scale& scale : kScales) {
    // "20k" and "0.5M", but not "0.0005M".
    if (largest >= scale.unit && step >= scale.unit / 1000) return scale;
  }
  return {1, ""};
}

// The power of ten of the first digit.
int exponent_of(double value) {
  return static_cast<int>(std::floor(std::log10(std::abs(value)) + 1e-9));
}

int decimals_of(double step) { return std::max(0, -exponent_of(step)); }

std::string label_of(double value, double largest, double step) {
  if (value == 0) return "0";
  if (largest >= 1e15 || largest < 1e-4) {
    // As many digits as tell two ticks apart.
    const int digits = exponent_of(value) - exponent_of(step);
    return fmt::format("{:.{}e}", value, std::clamp(digits, 0, 15));
  }
  const Scale scale = scale_of(largest, step);
  return fmt::format("{:.{}f}{}", value / scale.unit, decimals_of(step / scale.unit), scale.suffix);
}

}  // namespace

Range make_range(double low, double high) {
  low = std::clamp(low, -kValueMax, kValueMax);
  high = std::clamp(high, -kValueMax, kValueMax);
  const double largest = std::max(std::abs(low), std::abs(high));
  if (high - low >= std::max(kSpanMin, largest * kRelativeSpanMin)) return {low, high};
  const double half = largest < kSpanMin ? 1 : largest * 0.05;
  return {low - half, high + half};
}

std::vector<Tick> make_ticks(const Range& range, size_t count_max) {
  const auto wanted = static_cast<double>(std::max<size_t>(count_max, 1));
  // The finest of a few steps that is coarse enough: a range holds one multiple more or less than
  // its size says, depending on where it begins.
  double step = nice_step((range.high - range.low) / wanted / 2.5);
  double first = 0;
  double last = -1;
  for (int i = 0; i < 4; ++i) {
    first = std::ceil(range.low / step - 1e-9);
    last = std::floor(range.high / step + 1e-9);
    if (last - first + 1 <= wanted) break;
    step = nice_step(step * 1.5);
  }
  const double largest = std::max(std::abs(first), std::abs(last)) * step;
  std::vector<Tick> ticks;
  for (size_t i = 0; i < count_max; ++i) {
    const double multiple = first + static_cast<double>(i);
    if (multiple > last) break;
    const double value = multiple * step;
    ticks.push_back({value, label_of(value, largest, step)});
  }
  return ticks;
}

}  // namespace ringlog::cli
