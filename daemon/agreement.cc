#include "daemon/agreement.h"

#include <algorithm>

namespace ringlog::service {

namespace {

// Steps ahead of the furthest rank, at least: one that is under way and one to be seen in.
constexpr uint64_t kStepsAheadMin = 2;
// Samples ahead (of kAgreeSampleMs each).
constexpr uint64_t kSamplesAhead = 2;

std::atomic<uint64_t>& word_of(Port& port, Wish wish) {
  shm::ServiceWords& words = port.segment->service();
  return wish == Wish::kStop ? words.stop_step : words.checkpoint_step;
}

uint64_t told_step(const Port& port) {
  // ORDER agree: seq_cst, with the rank's store before it looks at the agreed step.
  return port.segment->producer().step.load(std::memory_order_seq_cst);
}

}  // namespace

std::vector<uint64_t> told_steps(const Ports& ports) {
  std::vector<uint64_t> steps;
  for (const auto& port : ports) steps.push_back(told_step(*port));
  return steps;
}

Agreed agree(const Ports& ports, const std::vector<uint64_t>& before, uint64_t step_min,
             Wish wish) {
  const std::vector<uint64_t> now = told_steps(ports);
  uint64_t furthest = step_min;
  uint64_t pace = 0;
  Agreed out;
  out.ranks = static_cast<uint32_t>(ports.size());
  for (size_t i = 0; i < now.size(); ++i) {
    if (now[i] == 0) continue;
    ++out.asking;
    // What a process tells is not believed to be sane, only to be a number.
    furthest = std::max(furthest, std::min<uint64_t>(now[i] - 1, UINT64_MAX / 4));
    if (i < before.size() && before[i] != 0 && now[i] > before[i]) {
      pace = std::max(pace, now[i] - before[i]);
    }
  }
  pace = std::min<uint64_t>(pace, UINT64_MAX / 8);
  out.step = furthest + std::max(kStepsAheadMin, kSamplesAhead * pace);
  for (const auto& port : ports) {
    // ORDER agree: seq_cst, before the second look.
    word_of(*port, wish).store(out.step + 1, std::memory_order_seq_cst);
  }
  for (const uint64_t step : told_steps(ports)) {
    if (step > out.step + 1) ++out.late;
  }
  return out;
}

void join_agreement(const Ports& others, Port& joining) {
  for (const Wish wish : {Wish::kStop, Wish::kCheckpoint}) {
    uint64_t agreed = word_of(joining, wish).load(std::memory_order_relaxed);
    uint64_t furthest = 0;
    for (const auto& port : others) {
      agreed = std::max(agreed, word_of(*port, wish).load(std::memory_order_relaxed));
      furthest = std::max(furthest, told_step(*port));
    }
    // A stop stays; a checkpoint that the others have made is not made again.
    if (agreed == 0 || (wish == Wish::kCheckpoint && furthest >= agreed)) continue;
    word_of(joining, wish).store(agreed, std::memory_order_seq_cst);  // ORDER agree
    for (const auto& port : others) {
      word_of(*port, wish).store(agreed, std::memory_order_seq_cst);  // ORDER agree
    }
  }
}

}  // namespace ringlog::service
