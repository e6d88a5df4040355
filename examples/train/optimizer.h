#pragma once
// How parameters start, and how a gradient moves them: Adam, with a learning rate that warms up and
// then falls along a cosine. Everything is a function of its arguments, so that a rank which died
// in the middle of a step can be followed by one that repeats the step to the last bit.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>

#include "corpus.h"
#include "model.h"

namespace train {

// The parameters after some number of steps, with the moments that Adam needs for the next one.
struct Version {
  Parameters parameters;
  Parameters mean;
  Parameters variance;
};

inline float learning_rate(std::size_t step, std::size_t step_count) {
  constexpr float kHighest = 4e-3f;
  constexpr float kLowest = 1e-4f;
  constexpr std::size_t kWarmup = 100;
  const float progress = static_cast<float>(step) / static_cast<float>(step_count);
  const float cosine = 0.5f + 0.5f * std::cos(std::numbers::pi_v<float> * progress);
  const float warmup = std::min(1.0f, static_cast<float>(step + 1) / kWarmup);
  return warmup * (kLowest + (kHighest - kLowest) * cosine);
}

// Moves the parameter at `index` from one version to the next.
inline void adam(const Version& from, Version& to, std::size_t index, float gradient, float rate,
                 std::size_t step) {
  constexpr float kMeanDecay = 0.9f;
  constexpr float kVarianceDecay = 0.99f;
  const float age = static_cast<float>(step + 1);
  const float mean = kMeanDecay * from.mean[index] + (1 - kMeanDecay) * gradient;
  const float variance =
      kVarianceDecay * from.variance[index] + (1 - kVarianceDecay) * gradient * gradient;
  const float mean_unbiased = mean / (1 - std::pow(kMeanDecay, age));
  const float variance_unbiased = variance / (1 - std::pow(kVarianceDecay, age));
  to.mean[index] = mean;
  to.variance[index] = variance;
  to.parameters[index] =
      from.parameters[index] - rate * mean_unbiased / (std::sqrt(variance_unbiased) + 1e-8f);
}

// Uniform weights, small enough that the first guess is "anything": a loss of log(kVocabulary).
inline void initialize(Version& version, std::uint64_t seed) {
  version.mean.fill(0);
  version.variance.fill(0);
  for (std::size_t i = 0; i < kParameterCount; ++i) {
    const std::uint64_t random = mix(mix(seed) + i);
    const float unit = static_cast<float>(random >> 40) * 0x1p-23f - 1;  // From -1 to 1.
    const bool is_bias = (i >= kHiddenBiasAt && i < kOutputWeightAt) || i >= kOutputBiasAt;
    const float scale = i < kInputWeightAt ? 0.5f : i < kOutputWeightAt ? 0.15f : 0.05f;
    version.parameters[i] = is_bias ? 0 : scale * unit;
  }
}

}  // namespace train
