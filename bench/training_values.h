#pragma once
// Values as training makes them: noisy and of float32, different in every row.
//
// Pure functions.

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ringlog::bench {

// Numbers between -0.5 and 0.5, the same in every run of a program.
class Noise {
 public:
  double next() {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<double>(state_ >> 40) / static_cast<double>(1 << 24) - 0.5;
  }

 private:
  uint64_t state_ = 1;
};

// Rows of `width` doubles, one after another; rows repeat behind the last, which no chunk of a
// store is long enough to notice.
class TrainingValues {
 public:
  static constexpr size_t kRows = 8192;

  explicit TrainingValues(size_t width) : width_(width), cells_(kRows * width) {
    Noise noise;
    for (size_t i = 0; i < kRows; ++i) {
      const double t = static_cast<double>(i) / kRows;
      for (size_t k = 0; k < width; ++k) {
        cells_[i * width + k] = static_cast<float>(value(k, t, noise.next()));
      }
    }
  }
  std::span<const double> row(uint64_t i) const {
    return {cells_.data() + i % kRows * width_, width_};
  }

 private:
  // A loss, a gradient norm, a learning rate without noise, a step time, and so on.
  static double value(size_t key, double t, double noise) {
    switch (key % 4) {
      case 0:
        return 2 * std::exp(-3 * t) + 0.05 * noise;
      case 1:
        return 1 + 0.3 * noise;
      case 2:
        return 3e-4 * (1 + std::cos(3.14159 * t)) / 2;
      default:
        return 0.21 + 0.01 * noise;
    }
  }

  size_t width_;
  std::vector<double> cells_;
};

// Their names; the first four are loss, grad_norm, lr and step_time.
inline std::vector<std::string> training_names(size_t width) {
  constexpr std::array kNames = {"loss", "grad_norm", "lr", "step_time"};
  std::vector<std::string> names;
  for (size_t k = 0; k < width; ++k) {
    const std::string layer = k < kNames.size() ? "" : "layer" + std::to_string(k / 4) + ".";
    names.push_back(layer + kNames[k % kNames.size()]);
  }
  return names;
}

}  // namespace ringlog::bench
