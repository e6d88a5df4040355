#pragma once
// One rank of the job: computes gradients on its own shard, averages them with the team, and logs
// every step. This is the file to read for how a training loop uses ringlog.

#include <ringlog/ringlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <optional>
#include <span>
#include <string>

#include "corpus.h"
#include "model.h"
#include "optimizer.h"
#include "options.h"
#include "team.h"

namespace train {

// What the launcher's environment says about this process.
struct Place {
  std::size_t rank;
  std::size_t rank_count;
  std::size_t attempt;
  int state_fd;
  int halfway_fd;
};

class Worker {
 public:
  Worker(const Options& options, const Place& place)
      : options_(options),
        place_(place),
        corpus_(options.text_directory),
        shard_(corpus_.shard(place.rank, place.rank_count)),
        team_(place.state_fd, place.rank, place.rank_count),
        // The run's id, the rank and the attempt come from the launcher's environment.
        run_(ringlog::init({.project = options.project})),
        row_(run_.row({"loss", "grad_norm", "lr", "step_ms", "sync_ms"})) {}

  int run() {
    if (place_.rank == 0) log_config();
    if (place_.attempt > 0) {
      std::fprintf(stderr, "train: rank %zu goes on at step %zu\n", place_.rank, team_.step());
    }
    while (team_.step() < team_.step_count()) {
      if (const auto late = train_step()) {
        std::fprintf(stderr, "train: rank %zu gave up waiting for rank %zu\n", place_.rank, *late);
        run_.finish(1);
        return 1;
      }
      const std::size_t step = team_.step();
      if (place_.rank == 0 && (step % kEvaluateEvery == 0 || step == team_.step_count())) {
        evaluate(step);
      }
      report_halfway(step);
    }
    return finish();
  }

 private:
  using Clock = std::chrono::steady_clock;

  static constexpr std::size_t kBatchSize = 16;
  static constexpr std::size_t kEvaluateEvery = 500;
  static constexpr std::size_t kEvaluationCount = 512;
  static constexpr std::size_t kSampleSize = 120;

  static double milliseconds(Clock::duration duration) {
    return std::chrono::duration<double, std::milli>(duration).count();
  }

  void log_config() {
    run_.config({{"model", "character MLP"},
                 {"parameters", kParameterCount},
                 {"context", kContext},
                 {"hidden", kHidden},
                 {"batch_size", kBatchSize * place_.rank_count},
                 {"steps", options_.step_count},
                 {"seed", options_.seed},
                 {"text", options_.text_directory},
                 {"text_size", corpus_.size()}});
  }

  // One step of data-parallel training. Returns the rank that did not come, if any.
  std::optional<std::size_t> train_step() {
    const std::size_t step = team_.step();
    const float rate = learning_rate(step, options_.step_count);
    const auto start = Clock::now();
    const double loss = compute_gradient(step);
    if (run_.should_stop()) team_.stop_after_this_step();  // `ringlog stop`, seen by one load.
    team_.publish_gradient(gradient_);
    const auto gradient_done = Clock::now();
    if (const auto late = team_.wait_for_all()) return late;
    const auto gradients_met = Clock::now();
    team_.update_slice(rate);
    const auto update_done = Clock::now();
    if (const auto late = team_.wait_for_all()) return late;
    const auto end = Clock::now();
    const auto waited = (gradients_met - gradient_done) + (end - update_done);
    row_.log(step, loss, gradient_norm(), static_cast<double>(rate), milliseconds(end - start),
             milliseconds(waited));
    return std::nullopt;
  }

  // Leaves the gradient of this step's batch in gradient_ and returns its mean loss. The batch
  // depends on seed, step and rank alone.
  double compute_gradient(std::size_t step) {
    gradient_.fill(0);
    double loss = 0;
    Activations activations;
    const std::uint64_t key = mix(mix(options_.seed + step * kRankCountMax) + place_.rank);
    for (std::size_t i = 0; i < kBatchSize; ++i) {
      const Symbol* context = &shard_[mix(key + i) % (shard_.size() - kContext)];
      forward(team_.parameters(), context, activations);
      loss += static_cast<double>(loss_of(activations, context[kContext]));
      backward(team_.parameters(), context, context[kContext], activations, 1.0f / kBatchSize,
               gradient_);
    }
    return loss / kBatchSize;
  }

  double gradient_norm() const {
    return std::sqrt(static_cast<double>(
        std::inner_product(gradient_.begin(), gradient_.end(), gradient_.begin(), 0.0f)));
  }

  void evaluate(std::size_t step) {
    const auto text = corpus_.held_out();
    Activations activations;
    double loss = 0;
    for (std::size_t i = 0; i < kEvaluationCount; ++i) {
      const Symbol* context = &text[i * (text.size() - kContext) / kEvaluationCount];
      forward(team_.parameters(), context, activations);
      loss += static_cast<double>(loss_of(activations, context[kContext]));
    }
    loss /= kEvaluationCount;
    best_loss_ = std::min(best_loss_, loss);
    run_.log({{"eval/loss", loss}, {"sample", sample(step)}}, {.step = step});
    std::fprintf(stderr, "train: step %6zu  eval/loss %.3f\n", step, loss);
  }

  // What the model writes when it goes on from "This License".
  std::string sample(std::size_t step) const {
    std::string text = "This License";
    std::array<Symbol, kContext> context;
    Activations activations;
    for (std::size_t i = 0; i < kSampleSize; ++i) {
      std::transform(text.end() - kContext, text.end(), context.begin(), to_symbol);
      forward(team_.parameters(), context.data(), activations);
      float left = static_cast<float>(mix(step * kSampleSize + i) >> 40) * 0x1p-24f;
      Symbol symbol = 0;
      while (symbol + 1 < static_cast<int>(kVocabulary) &&
             left >= activations.probability[symbol]) {
        left -= activations.probability[symbol++];
      }
      text += to_character(symbol);
    }
    return text;
  }

  // Tells the launcher that this is the moment; it never waits for what comes of it.
  void report_halfway(std::size_t step) const {
    if (place_.attempt > 0 || place_.rank != options_.kill_rank) return;
    if (step != (options_.step_count + 1) / 2) return;
    const std::uint64_t one = 1;
    if (write(place_.halfway_fd, &one, sizeof(one)) < 0) std::perror("train: cannot report");
  }

  int finish() {
    if (place_.rank == 0) run_.summary({{"eval/best_loss", best_loss_}});
    const std::string id(run_.id());
    const auto report = run_.finish(0);
    if (place_.rank != 0) return 0;
    std::fprintf(stderr, "train: rank 0 stored %llu of its %llu rows\n",
                 static_cast<unsigned long long>(report.stored),
                 static_cast<unsigned long long>(report.attempted));
    std::printf("%s\n", id.c_str());
    return 0;
  }

  const Options& options_;
  const Place place_;
  const Corpus corpus_;
  const std::span<const Symbol> shard_;
  Team team_;
  ringlog::Run run_;
  ringlog::Row row_;
  Parameters gradient_;
  double best_loss_ = HUGE_VAL;
};

}  // namespace train
