#pragma once
// A character model small enough for one core: the last kContext characters are embedded, joined,
// sent through one tanh layer, and a softmax says what comes next. The gradients are written out by
// hand. Plain functions of plain arrays: no state, no allocation.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace train {

using Symbol = std::uint8_t;

// Multiples of four, known at compile time: the inner loops become vector instructions.
inline constexpr std::size_t kVocabulary = 96;
inline constexpr std::size_t kContext = 8;
inline constexpr std::size_t kEmbedding = 16;
inline constexpr std::size_t kInput = kContext * kEmbedding;
inline constexpr std::size_t kHidden = 64;

// Every parameter in one array, so that all-reduce and optimizer need not know what they mean.
inline constexpr std::size_t kEmbeddingAt = 0;  // [symbol][e]
inline constexpr std::size_t kInputWeightAt = kEmbeddingAt + kVocabulary * kEmbedding;  // [i][h]
inline constexpr std::size_t kHiddenBiasAt = kInputWeightAt + kInput * kHidden;         // [h]
inline constexpr std::size_t kOutputWeightAt = kHiddenBiasAt + kHidden;                 // [h][v]
inline constexpr std::size_t kOutputBiasAt = kOutputWeightAt + kHidden * kVocabulary;   // [v]
inline constexpr std::size_t kParameterCount = kOutputBiasAt + kVocabulary;

using Parameters = std::array<float, kParameterCount>;

// What the forward pass leaves for the backward pass.
struct Activations {
  std::array<float, kInput> input;
  std::array<float, kHidden> hidden;
  std::array<float, kVocabulary> probability;
};

template <std::size_t kCount>
void add_scaled(float* __restrict out, float scale, const float* __restrict in) {
  for (std::size_t i = 0; i < kCount; ++i) out[i] += scale * in[i];
}

// Four sums side by side: the compiler may not reorder one sum of floats, but can keep four apart.
template <std::size_t kCount>
float dot(const float* __restrict a, const float* __restrict b) {
  std::array<float, 4> sums{};
  for (std::size_t i = 0; i < kCount; i += 4) {
    for (std::size_t lane = 0; lane < 4; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

inline void softmax(std::array<float, kVocabulary>& values) {
  const float highest = *std::max_element(values.begin(), values.end());
  float sum = 0;
  for (float& value : values) {
    value = std::exp(value - highest);
    sum += value;
  }
  for (float& value : values) value /= sum;
}

// Predicts what follows the kContext symbols at `context`.
inline void forward(const Parameters& parameters, const Symbol* context, Activations& out) {
  const float* p = parameters.data();
  for (std::size_t i = 0; i < kContext; ++i) {
    std::copy_n(p + kEmbeddingAt + context[i] * kEmbedding, kEmbedding, &out.input[i * kEmbedding]);
  }
  std::copy_n(p + kHiddenBiasAt, kHidden, out.hidden.begin());
  for (std::size_t i = 0; i < kInput; ++i) {
    add_scaled<kHidden>(out.hidden.data(), out.input[i], p + kInputWeightAt + i * kHidden);
  }
  for (float& value : out.hidden) value = std::tanh(value);
  std::copy_n(p + kOutputBiasAt, kVocabulary, out.probability.begin());
  for (std::size_t h = 0; h < kHidden; ++h) {
    add_scaled<kVocabulary>(out.probability.data(), out.hidden[h],
                            p + kOutputWeightAt + h * kVocabulary);
  }
  softmax(out.probability);
}

// Adds to `gradient` what the example (context, target) says, times `scale`.
inline void backward(const Parameters& parameters, const Symbol* context, Symbol target,
                     const Activations& activations, float scale, Parameters& gradient) {
  const float* p = parameters.data();
  float* g = gradient.data();
  std::array<float, kVocabulary> output_error = activations.probability;
  output_error[target] -= 1;
  for (float& value : output_error) value *= scale;
  add_scaled<kVocabulary>(g + kOutputBiasAt, 1, output_error.data());

  std::array<float, kHidden> hidden_error;
  for (std::size_t h = 0; h < kHidden; ++h) {
    const std::size_t row = kOutputWeightAt + h * kVocabulary;
    const float activation = activations.hidden[h];
    add_scaled<kVocabulary>(g + row, activation, output_error.data());
    hidden_error[h] =
        dot<kVocabulary>(p + row, output_error.data()) * (1 - activation * activation);
  }
  add_scaled<kHidden>(g + kHiddenBiasAt, 1, hidden_error.data());

  for (std::size_t i = 0; i < kInput; ++i) {
    const std::size_t row = kInputWeightAt + i * kHidden;
    const std::size_t embedded = context[i / kEmbedding] * kEmbedding + i % kEmbedding;
    add_scaled<kHidden>(g + row, activations.input[i], hidden_error.data());
    g[kEmbeddingAt + embedded] += dot<kHidden>(p + row, hidden_error.data());
  }
}

// How surprised the model was, in nats.
inline float loss_of(const Activations& activations, Symbol target) {
  return -std::log(std::max(activations.probability[target], 1e-20f));
}

}  // namespace train
